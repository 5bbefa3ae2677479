"""Markers that GitLab reads in a job log: sections that fold (reference/ci.md §2.4)."""

from __future__ import annotations

import time
from collections.abc import Callable


class Sections:
    """Section markers. `now` gives seconds since the epoch; GitLab shows how long a section took."""

    collapses = False

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._count = 0

    def open(self, title: str, collapsed: bool) -> str:
        self._count += 1
        fold = "[collapsed=true]" if collapsed else ""
        return f"\x1b[0Ksection_start:{int(self._now())}:lineal_{self._count}{fold}\r\x1b[0K{title}"

    def close(self) -> str:
        return f"\x1b[0Ksection_end:{int(self._now())}:lineal_{self._count}\r\x1b[0K"

    def stop_commands(self) -> str:
        # Sections need ESC and a carriage return, which no line of output keeps.
        return ""

    def resume(self) -> str:
        return ""

    def warning(self, text: str) -> str:
        return f"\x1b[33mwarning: {text}\x1b[0m"
