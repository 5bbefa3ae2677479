"""Peak resident memory of a process and its descendants, read from /proc while they run: a page that several of them
have, as after a fork, counts once."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_OURS = {str(Path(sys.executable).resolve()), str(Path(shutil.which("git") or "git").resolve())}
"""The programs that count."""
_FIELD = re.compile(r"^(PPid|VmHWM|Pss):\s+(\S+)", re.MULTILINE)


@dataclass
class Memory:
    """Peaks in bytes."""

    seconds: float = 0.02
    """Between two samples: each looks at all processes of the machine."""
    alone: int = 0
    """The process itself, as the kernel kept it."""
    together: int = 0
    """The sum with its descendants, the largest of all samples; without what a RUN executes below an OCI runtime."""

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(self.seconds):
                family = _family(pid)
                ours = [_bytes(_shares(status["pid"]), "Pss") for status in family if status["exe"] in _OURS]
                self.together = max(self.together, sum(ours))
                self.alone = max([self.alone, *(_bytes(status, "VmHWM") for status in family[:1])])

        watcher = threading.Thread(target=sample, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _family(root: int) -> list[dict[str, str]]:
    """/proc/PID/status of the process, first, and its descendants."""
    processes: dict[int, dict[str, str]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found = dict(_FIELD.findall((directory / "status").read_text()))
            found |= {"pid": directory.name, "exe": str((directory / "exe").readlink())}
            processes[int(directory.name)] = found
    family, queue = [], [root]
    while queue:
        pid = queue.pop(0)
        if pid in processes:
            family.append(processes[pid])
            queue += [child for child, status in processes.items() if status["PPid"] == str(pid)]
    return family


def _shares(pid: str) -> dict[str, str]:
    """Of its memory, its part of each page that others have too; nothing of a process that is gone."""
    try:
        return dict(_FIELD.findall(Path("/proc", pid, "smaps_rollup").read_text()))
    except OSError:
        return {}


def _bytes(status: dict[str, str], name: str) -> int:
    return int(status.get(name, "0")) * 1024
