"""Peak resident memory of a process and its descendants, read from /proc while they run."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.02
_FIELD = re.compile(r"^(PPid|VmHWM|VmRSS):\s+(\S+)", re.MULTILINE)


@dataclass
class Memory:
    """Peaks in bytes. A page that several processes map counts once for each of them."""

    alone: int = 0
    """The process itself, as the kernel kept it."""
    together: int = 0
    """The sum with its descendants, the largest of all samples."""

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(_SAMPLE_SECONDS):
                family = _family(pid)
                self.together = max(self.together, sum(_bytes(status, "VmRSS") for status in family))
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
            processes[int(directory.name)] = dict(_FIELD.findall((directory / "status").read_text()))
    family, queue = [], [root]
    while queue:
        pid = queue.pop(0)
        if pid in processes:
            family.append(processes[pid])
            queue += [child for child, status in processes.items() if status["PPid"] == str(pid)]
    return family


def _bytes(status: dict[str, str], name: str) -> int:
    return int(status.get(name, "0")) * 1024
