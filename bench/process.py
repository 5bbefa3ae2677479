"""Child processes: how long they took and what they said."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.servers import GIT_ISOLATION


class Failed(Exception):
    """A command that the bench needs ended with an error."""


@dataclass(frozen=True, slots=True)
class Done:
    """Wall-clock seconds and the two streams of a command that succeeded."""

    seconds: float
    stdout: str
    stderr: str


class Watch(Protocol):
    def __call__(self, pid: int, /) -> AbstractContextManager[object]: ...


def run(argv: Sequence[str], cwd: Path, env: Mapping[str, str], watch: Watch = nullcontext) -> Done:
    """Run to the end, inside `watch(pid)`. Raises `Failed` with what the command said."""
    start = time.perf_counter()
    child = subprocess.Popen(
        list(argv), cwd=cwd, env=dict(env), text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with watch(child.pid):
        stdout, stderr = child.communicate()
    seconds = time.perf_counter() - start
    if child.returncode:
        raise Failed(f"`{' '.join(argv)}` ended with status {child.returncode}:\n{(stderr or stdout)[-3000:]}")
    return Done(seconds, stdout, stderr)


def environment(home: Path) -> dict[str, str]:
    """Nothing of this machine's user: as on a throw-away runner."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "COLUMNS": "120", **GIT_ISOLATION}
