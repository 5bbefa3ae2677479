"""How a run tells people what it is doing, on stderr: one protocol, shown live on a terminal or as lines in CI."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import field, replace
from functools import partial
from typing import Protocol

from lineal.value import dataclass


class Progress(Protocol):
    """All methods may be called from several threads. `stage` is a short title, unique in the run,
    such as `api 3/7 RUN pip install -r requirements.txt`."""

    def note(self, text: str) -> None:
        """A line of information."""

    def warn(self, text: str) -> None: ...

    def begin(self, stage: str) -> None: ...

    def output(self, stage: str, line: str) -> None:
        """A line that a command printed: untrusted, without newline, secrets already masked."""

    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None:
        """`outcome` is one of `lineal.report.model.Outcome`."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Notes:
    """How a part of a run speaks to people, and how it learns that the run is to end."""

    note: Callable[[str], None]
    """Takes a line of information."""
    warn: Callable[[str], None]
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to end: a part that waits stops waiting."""


def once(notes: Notes) -> Notes:
    """The same for a part that would repeat itself."""
    said: set[str] = set()

    def first(say: Callable[[str], None], text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return replace(notes, note=partial(first, notes.note), warn=partial(first, notes.warn))


QUIET = Notes(lambda _: None, lambda _: None)
"""For a reader that nobody listens to: the commit before, another branch."""
