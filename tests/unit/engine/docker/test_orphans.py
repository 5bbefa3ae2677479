"""A killed run: the next one removes what it left, secrets included; a living one's things stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lineal.engine.docker import orphans, process_identity
from lineal.engine.docker.client import Client
from lineal.engine.docker.engine import DockerEngine
from tests.e2e.parts import wait_until

from .conftest import Bench, base_tar, traces

VALUE = f"s3cr3t-{uuid.uuid4().hex}"
ROOT = Path(__file__).parents[4]
RUN = f"""
import sys
from pathlib import Path
from lineal.engine import SecretMount
from tests.unit.engine.docker.conftest import Bench, Client, DockerEngine, MemoryStore, base_tar

store, engine = MemoryStore(), DockerEngine()
command = Bench(engine, Client(), store, store.image([base_tar()]), Path()).command(
    "echo running; sleep 600", mounts=[SecretMount("/run/secrets/a", b"{VALUE}")],
    env={{"PATH": "/bin", "TOKEN": "{VALUE}"}},
)
print(engine.id, flush=True)
engine.run(store.made[0], store, command, lambda line: print(line, flush=True), Path(sys.argv[1]))
"""


@pytest.fixture
def other(bench: Bench) -> Iterator[tuple[subprocess.Popen[str], DockerEngine]]:
    """Another process in the middle of a `RUN` with a secret, and its engine's id."""
    bench.store.image([base_tar()])  # so that it is removed at the end
    command = [sys.executable, "-c", RUN, str(bench.workspace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        engine = DockerEngine()
        engine.id = child.stdout.readline().strip()
        assert child.stdout.readline() == "running\n"
        yield child, engine
        child.kill()
    orphans.remove_orphans(bench.client)


@pytest.mark.engine
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the engine's volumes")
def test_the_next_run_removes_what_a_killed_one_left(
    bench: Bench, other: tuple[subprocess.Popen[str], DockerEngine]
) -> None:
    child, engine = other
    made = traces(bench.client, engine)
    assert len(made) >= 3, "a container, its helper and a volume"
    assert bench.on_disk(VALUE, "volumes")

    bench.run("true")
    assert traces(bench.client, engine) == made, "a living run's things were removed"
    (running,) = [name for name in made if is_running(bench.client, name)]

    child.send_signal(signal.SIGKILL)
    child.wait()
    DockerEngine().run(bench.base, bench.store, bench.command("true"), bench.said.append, bench.workspace)
    # Runs of other test processes sweep as well, and who comes second leaves it to the first.
    wait_until(lambda: traces(bench.client, engine) == [] and bench.on_disk(VALUE, "volumes") == b"")
    assert bench.client.find(f"/containers/{running}/json", "look") is None


def is_running(client: Client, name: str) -> bool:
    found = client.find(f"/containers{name}/json", "look") if name.startswith("/") else None
    return bool(found and found["State"]["Running"])


class Listed:
    """An engine that has one container, one volume and two images, and notes what is deleted."""

    def __init__(self, labels: dict[str, str], hours: int) -> None:
        made = {"Created": 1795414451 - hours * 3600, "Labels": labels}
        text = f"2026-11-{23 - hours // 24:02}T06:14:11Z"
        self._answers = {
            "/containers/json": [{"Id": "container", **made}],
            "/volumes": {"Volumes": [{"Name": "volume", "CreatedAt": text, "Labels": labels}]},
            "/images/json": [
                {"Id": "image", "RepoTags": ["<none>:<none>"], **made},
                {"Id": "named", "RepoTags": ["somebody:s"], **made},
            ],
        }
        self.deleted: list[str] = []

    def call(self, method: str, path: str, what: str, *, params: dict[str, str] | None = None) -> Any:
        if method == "DELETE":
            self.deleted.append(path)
            return None
        assert params is not None
        assert json.loads(params["filters"]) == {"label": ["dev.lineal.run"]}
        return SimpleNamespace(json=lambda: self._answers[path], headers={"Date": "Mon, 23 Nov 2026 06:14:11 GMT"})


ELSEWHERE = {**process_identity.labels(), process_identity.PLACE: "another machine"}
DEAD = {**process_identity.labels(), process_identity.PROCESS: "1 1"}
ALL = ["/containers/container", "/volumes/volume", "/images/image"]


@pytest.mark.parametrize(
    ("labels", "hours", "deleted"),
    [
        (ELSEWHERE, 0, []),
        (ELSEWHERE, 24, []),
        (ELSEWHERE, 48, ALL),
        ({}, 0, []),
        ({}, 48, ALL),
        (DEAD, 0, ALL),
        (process_identity.labels(), 48, []),
    ],
)
def test_what_is_removed(labels: dict[str, str], hours: int, deleted: list[str]) -> None:
    engine = Listed(labels, hours)
    removed = orphans.remove_orphans(cast(Client, engine))
    assert engine.deleted == deleted
    assert removed == [path.rpartition("/")[2] for path in deleted]


def test_without_the_engine_s_time_another_machine_s_things_stay() -> None:
    assert orphans._age({"Created": 5}, None) == 0
    assert orphans._age({"CreatedAt": "yesterday"}, "Mon, 23 Nov 2026 06:14:11 GMT") == 0
    assert orphans._age({}, "Mon, 23 Nov 2026 06:14:11 GMT") == 0
