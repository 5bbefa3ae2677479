"""A short mutual exclusion for one checksum, behind one protocol: `Lock`.

`address` reads what a user may write, `select` decides and opens. `file` locks beside a layout store; `leased` waits,
renews and takes over for every lock that a service keeps, and `git`, `kubernetes` and `etcd` are those services. A
lock only saves duplicate work: results are right without one (DESIGN G9), so a lock that fails is a warning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from lineal.value import dataclass


class Lock(Protocol):
    name: str
    """For people: `file`, `git`, `kubernetes`, `etcd`, `none`."""

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
    """The times of a lock, in seconds."""

    lease: float = 60.0
    """A holder that does not renew its lock for so long loses it."""
    wait: float = 90.0
    """The longest that a run waits for one lock: longer than the lease, so that the run outlives a dead holder."""
    poll: float = 1.0
    """The pause between two looks at a lock that is held, about."""
    notice: float = 1.0
    """People are told of a wait that is longer."""
    away: float = 0.0
    """How long after its lease a holder goes on trying to renew it, before it takes the lock for lost. Who sets it
    does nothing under the lock meanwhile: see `Lease.doubtful`."""
    retry: float = 3.0
    """The pause before a failed request to the service is repeated, where that is done at all (`ReleaseLeases`)."""
