"""A short mutual exclusion for one checksum, behind one protocol: `Lock`.

A lock only saves duplicate work: results are right without one (DESIGN G9), so a lock that fails is a warning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


class Lock(Protocol):
    name: str
    """What the run says that it uses: `file`, `git`, `kubernetes`, `etcd`, `none`."""

    def hold(self, checksum: str) -> AbstractContextManager[bool]:
        """Wait (bounded) for the checksum's lock and hold it; True while it is really held."""


class NoLock:
    name = "none"

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        del checksum
        yield False


@dataclass(frozen=True, slots=True)
class LockTimeouts:
    """How long things may take, in seconds."""

    lease: float = 60.0
    """After this time a holder that does not say that it is alive loses the lock."""
    wait: float = 90.0
    """The longest that a run waits for one checksum: longer than the lease, so that a dead holder is outlived."""
    poll: float = 1.0
    """Between two looks at a lock that is held, about."""
    notice: float = 1.0
    """A wait that is longer is shown."""
