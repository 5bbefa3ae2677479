"""What a Swarm does with the compose file that Lineal hands over, by the recipe of docs/handover.md."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.handover import PAGE, image_of, recipe
from tests.e2e.loopback import offer
from tests.e2e.parts import Project, docker, docker_engine, wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a second Docker Engine"),
]


@pytest.fixture
def swarm(registry: str) -> Iterator[dict[str, str]]:
    """The environment of an engine of its own, which is a Swarm and reaches the registry."""
    with (
        # Not pytest's directory: the path of a socket may have 107 characters only.
        tempfile.TemporaryDirectory(prefix="swarm-", ignore_cleanup_errors=True) as scratch,
        docker_engine(Path(scratch)) as env,
        offer(int(registry.rpartition(":")[2]), int((Path(scratch) / "pid").read_text()), Path(scratch)),
    ):
        docker("swarm", "init", "--advertise-addr", "127.0.0.1", env=env)
        yield env
        docker("swarm", "leave", "--force", env=env)


def test_a_swarm_runs_what_was_built(
    repo: servers.Repository, lineal: Lineal, repository: str, base_image: str, swarm: dict[str, str], tmp_path: Path
) -> None:
    repo.write({
        "lineal.yaml": "project: shop\nimages: {shop: {}}\n", "compose.yaml.j2": recipe("compose.yaml.j2"),
        "Dockerfile": f'FROM {base_image}\nCOPY file /file\nCMD ["sleep", "600"]\n', "file": "one\n",
    })  # fmt: skip
    shop, out = Project(repo, lineal, repository, tmp_path), tmp_path / "srv" / "shop"
    command = ["stack", "deploy", "--compose-file", "/srv/shop/compose.yaml", "shop"]
    assert f"docker {' '.join(command)}" in PAGE
    command[3] = str(out / "compose.yaml")

    def running() -> dict[str, str]:
        """Task -> its image, as the Swarm was told."""
        shown = "{{.ID}} {{.Image}} {{.CurrentState}}"
        rows = docker("stack", "ps", "shop", "--no-trunc", "--format", shown, env=swarm).stdout.splitlines()
        return {row.split()[0]: row.split()[1] for row in rows if row.split()[2] == "Running"}

    def deploy() -> dict[str, str]:
        shop.build()
        shop.run("render", "--template", "compose.yaml.j2", "--output", str(out))
        docker(*command, env=swarm)
        wanted = image_of(shop)
        wait_until(lambda: list(running().values()) == [wanted])
        return running()

    first = deploy()
    assert deploy() == first
    repo.write({"file": "two\n"})
    assert not deploy().items() & first.items()
