"""A run that is killed leaves no process and no mount, and the next one sweeps its directories and control groups."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineal.oci.types import Image
from tests.unit.engine.docker.conftest import MemoryStore

from .conftest import MOUNTS, control_groups, left, opened

ROOT = Path(__file__).parents[4]
"""Not the working directory: other tests of this process change it."""

SCRIPT = """
import sys
from pathlib import Path
from tests.unit.engine.docker.conftest import Bench, MemoryStore, base_tar, regular, tar_of
from tests.unit.engine.runc.conftest import opened
from lineal.engine import BindMount
root, where = Path(sys.argv[1]), sys.argv[2]
def wait():
    print("now", flush=True)
    input()
class Store(MemoryStore):
    def blob(self, digest):
        for chunk in super().blob(digest):
            yield chunk[:1]
            if where == "unpack":
                wait()
            yield chunk[1:]
class Said(list):
    def append(self, line):
        wait()
def files():
    yield tar_of(regular("x", b""))[:512]
    if where == "mount":
        wait()
    yield tar_of(regular("x", b""))[512:]
store = Store()
bench = Bench(opened(root), None, store, store.image([base_tar()]), root.parent)
bench.said = Said()
script = "echo secret-in-memory; sleep 600" if where == "run" else "head -c 30000000 /dev/urandom >/data/x"
if where == "layer":
    from lineal.engine.layer import LayerTar
    LayerTar.finish = lambda self: wait()
    script = "true"
if where == "prepare":
    Store.blob = lambda self, digest: (wait() or chunk for chunk in MemoryStore.blob(self, digest))
    bench.engine.prepare(bench.base, store, "linux/amd64", root.parent)
bench.run(script, mounts=[BindMount("/b", files)])
"""


@pytest.mark.parametrize("where", ["prepare", "unpack", "mount", "run", "layer"])
def test_a_run_that_is_killed_leaves_nothing(base: tuple[MemoryStore, Image], tmp_path: Path, where: str) -> None:
    root = tmp_path / "root"
    command, told = [sys.executable, "-c", SCRIPT, str(root), where], tmp_path / "stderr"
    with (
        told.open("wb") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT) as run,
    ):
        assert run.stdout is not None
        assert run.stdout.readline() == b"now\n", told.read_text(errors="replace")
        processes, groups = _of(str(root)), control_groups(root)
        assert processes and any(root.glob("run-*"))
        assert bool([group for group in groups if group.exists()]) == (where == "run")
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 300
    while living := [one for one in processes if _lives(one)]:
        assert time.monotonic() < deadline, living
        time.sleep(0.02)
    assert str(root) not in MOUNTS.read_text()
    engine = opened(root)
    engine.open()
    engine.close()
    assert left(root) <= {"caches"}
    assert not [group for group in groups if group.exists()]


def _of(root: str) -> list[str]:
    """The processes that work in this directory or were told of it, and theirs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if root in str((process / "cwd").readlink()) or root.encode() in (process / "cmdline").read_bytes():
                found.append(f"{process.name} {(process / 'stat').read_text().rpartition(')')[2].split()[19]}")
        except OSError:
            continue
    return found


def _lives(process: str) -> bool:
    number, start = process.split()
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == start and fields[0] not in "ZX"
