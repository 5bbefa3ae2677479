"""What the tests of all locks need: real services, and runs as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import servers

ROOT = Path(__file__).parents[3]


def start(given: dict[str, Any], *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.lock.worker", json.dumps(given), *command],
        cwd=ROOT, env=os.environ | servers.GIT_ISOLATION | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextmanager
def holder(given: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    process = start(given, "hold")
    try:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        assert process.stdout.readline() == "held true\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def contend(given: dict[str, Any], folder: Path, processes: int, rounds: int) -> int:
    """How often all of them together held the lock; fails when two held it at once, or one could not have it."""
    folder.mkdir()
    with start(given, "contend", str(folder), str(rounds), str(processes)) as running:
        output, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    answers = [json.loads(line) for line in output.splitlines()]
    assert len(answers) == processes
    warnings = sorted({warning for answer in answers for warning in answer["warnings"]})
    assert warnings == [], warnings
    assert list(folder.iterdir()) == []
    return sum(answer["held"] for answer in answers)


@contextmanager
def etcd_server(
    directory: Path, *options: str, port: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Debian's etcd; gives its endpoint and its process."""
    directory.mkdir(parents=True, exist_ok=True)
    client, peer = port or servers.free_port(), servers.free_port()
    secure = any(option.startswith("--cert-file") for option in options)
    endpoint = f"http{'s' if secure else ''}://127.0.0.1:{client}"
    with (directory / "log").open("ab") as log:
        server = subprocess.Popen(
            [servers.program("etcd"), "--data-dir", str(directory / "data"), "--listen-client-urls", endpoint,
             "--advertise-client-urls", endpoint, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-cluster", f"default=http://127.0.0.1:{peer}", *options],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        servers.wait_for_port(f"127.0.0.1:{client}", server, directory / "log")
        yield endpoint, server
    finally:
        server.kill()
        server.wait(300)
