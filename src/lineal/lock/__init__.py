"""A short mutual exclusion for one checksum, behind one protocol: `Lock`.

A lock only saves duplicate work: results are right without one (DESIGN G9), so a lock that fails is a warning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Lock(Protocol):
    name: str
    """What the run says that it uses: `file`, `none`."""

    def hold(self, checksum: str) -> AbstractContextManager[bool]:
        """Wait (bounded) for the checksum's lock and hold it; True while it is really held."""


class NoLock:
    name = "none"

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        del checksum
        yield False
