"""Labels that name the process that made a thing in the engine, and whether that process still lives."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PLACE = "dev.lineal.place"
"""Where process ids mean the same: boot id, host name and the namespaces of process ids and of time."""
PROCESS = "dev.lineal.process"
"""The process id and its start in clock ticks since the boot, which together name one process of a boot."""

_PROCESS = re.compile(r"([1-9][0-9]{0,9}) ([0-9]{1,20})")
_PROC = Path("/proc")


def labels() -> dict[str, str]:
    """The labels of what this process makes; none where the system does not tell them (it is not Linux)."""
    place, start = _place(), _stat(os.getpid())
    if place is None or start is None:
        return {}
    return {PLACE: place, PROCESS: f"{os.getpid()} {start[1]}"}


def lives(labels: Mapping[str, str]) -> bool | None:
    """Whether the process that labelled a thing still lives; None when that cannot be told from here."""
    place = _place()
    process = _PROCESS.fullmatch(labels.get(PROCESS, ""))
    if place is None or process is None or labels.get(PLACE) != place:
        return None
    return _lives(int(process[1]), int(process[2]))


def _lives(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    # There is such a process; where /proc hides those of other users, it may be the one.
    stat = _stat(pid)
    return stat is None or (stat[0] not in "ZX" and stat[1] == start)


def _place() -> str | None:
    try:
        if str((_PROC / "self").readlink()) != str(os.getpid()):
            return None  # a /proc of another namespace, whose numbers are not ours
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        spaces = [str((_PROC / "self/ns/pid").readlink())]
    except OSError:
        return None
    with suppress(OSError):  # kernels before 5.6 have one time only
        spaces.append(str((_PROC / "self/ns/time").readlink()))
    return " ".join([boot, socket.gethostname(), *spaces])


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process."""
    try:
        # The name, in parentheses, may contain anything.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
