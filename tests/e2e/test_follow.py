"""`--dev --follow`: each saved change is built and deployed; a broken one waits to be mended."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.act.runner import shop
from tests.conftest import Lineal
from tests.e2e.parts import read_until, save
from tests.tools import helm as binaries
from tests.tools import kube

WAITING = "Waiting for the next change"


class Following:
    """A run that goes on; its rounds one by one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def round(self) -> str:
        """What is said until it waits."""
        return read_until(self.process, WAITING)

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        out, said = self.process.communicate(timeout=300)
        assert self.process.returncode == 130, said
        return out


@pytest.fixture
def cluster() -> Iterator[kube.Cluster]:
    running = kube.Cluster()
    yield running
    running.close()


def test_a_save_is_built_a_broken_one_is_waited_for_and_nothing_is_left(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    shop(repo)
    private = tmp_path / "private"
    private.mkdir()
    words = ("build", "shop", "--dev", "--follow", "--repo", f"layout:{tmp_path / 'store'}")
    running = Following(lineal.start(*words, env={"TMPDIR": str(private)}))
    try:
        assert "assembled" in running.round()
        save(repo, "shop/site/index.html", "new")
        said = running.round()
        # What has been said before is not said again.
        assert said.startswith("Changed: shop/site/index.html\n") and "commit  " not in said
        assert re.search(r"1 cached, 2 assembled", said), said
        whole = (repo.path / "shop/Dockerfile").read_text()
        save(repo, "shop/Dockerfile", whole + "NONSENSE\n")
        said = running.round()
        assert "unknown instruction" in said and "Failed after" in said
        save(repo, "shop/Dockerfile", whole)
        assert "Done after" in running.round()
    finally:
        references = running.end().splitlines()
    assert len(references) == 3 and references[1] == references[2] != references[0]
    assert list(private.iterdir()) == []


@pytest.mark.helm
def test_the_release_follows(repo: servers.Repository, lineal: Lineal, tmp_path: Path, cluster: kube.Cluster) -> None:
    shop(repo)
    (tmp_path / "kubeconfig").write_text(cluster.kubeconfig())
    env = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "LINEAL_HELM": str(binaries.directory() / "helm4")}
    words = ("converge", "--env", "dev", "--dev", "--follow", "--repo", f"layout:{tmp_path / 'store'}")
    running = Following(lineal.start(*words, env=env))

    def deployed() -> set[str]:
        kinds = [
            thing for (kind, _, name), thing in cluster.objects.items() if kind == "configmaps" and name == "shop-dev"
        ]
        return {thing["data"]["image"] for thing in kinds}

    try:
        running.round()
        first = deployed()
        save(repo, "shop/site/index.html", "new")
        running.round()
        assert len(deployed()) == 1 and deployed() != first
    finally:
        running.end()
    assert cluster.releases()["shop-dev.v2"] == "deployed"


def test_a_commit_is_not_followed(repo: servers.Repository, lineal: Lineal) -> None:
    shop(repo)
    done = lineal("build", "--follow")
    assert done.code == 3
    assert "Give --dev too. [LN-1066]" in done.stderr
