"""A lock that a service keeps for the time of a lease: git, Kubernetes, etcd.

The service only compares and swaps. This module waits, takes over from dead holders, renews and gives up, in the same
way for all services. It compares no clocks of two machines: a holder is dead when its lock has not changed for a
lease on the clock of the run that waits."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from lineal.lock import LockTimeouts
from lineal.lock.waiting import BoundedWait
from lineal.progress import Notes

_LONGEST_LEASE = 600.0
"""Seconds; a holder that claims a longer lease is not believed."""
_NEARLY = 0.8
"""The part of a lease after which its holder does nothing more without a renewal."""
_SLOW = 2.5
"""Seconds, or a quarter of the lease if that is more: a look that takes longer tells nothing about the holder."""
_REFUSALS = 3
"""When a run has lost a free lock so often to a holder that it never saw, it makes sure that it may have any lock."""
SOMEBODY = "another run"


class LockFailed(Exception):
    """The service cannot be used; the text says why, in a few words and without a secret."""


@dataclass(frozen=True, slots=True)
class Holder:
    version: str
    """Changes whenever another run takes the lock, or the holder renews it."""
    who: str = SOMEBODY
    lease: float | None = None
    """Seconds, when the holder says them."""
    token: str = ""
    """Its token, where the service tells it."""


class Service(Protocol):
    """All methods raise `LockFailed`. A token identifies a claim of a run; no two tokens are ever the same."""

    name: str
    where: str
    """For messages: `refs/lineal/locks of the remote`."""
    takes_over: bool
    """Whether the lock of a dead holder must be taken over, because the service itself never ends a lease."""

    def token(self) -> str: ...

    def claim(self, checksum: str, token: str, over: str | None) -> bool:
        """Take the lock if its version is still `over`, or if it is still free when that is None."""

    def look(self, checksum: str) -> Holder | None: ...

    def identify(self, checksum: str, holder: Holder) -> Holder:
        """The holder with its name and lease, for a service whose `look` is too cheap to tell them."""

    def renew(self, checksum: str, token: str) -> str | None:
        """Begin the lease anew. Returns the token from now on, None when this run does not hold the lock any more."""

    def release(self, checksum: str, token: str) -> None:
        """Free the lock if this run holds it; otherwise do nothing."""


class LeasedLock:
    """The lock of a run at a service. A service that fails is a warning, and the run goes on without it."""

    def __init__(self, service: Service, notes: Notes, timeouts: LockTimeouts | None = None) -> None:
        self.name = service.name
        self._service = service
        self._notes = notes
        self._timeouts = timeouts or LockTimeouts()
        self._guard = threading.Lock()
        self._failed = False

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        claimed = self._acquire(checksum)
        if claimed is None:
            yield False
            return
        claimed.keep()
        try:
            yield True
        finally:
            self._release(checksum, claimed.end())

    def _acquire(self, checksum: str) -> Lease | None:
        waiting = BoundedWait(self._doing(checksum), self._timeouts, self._notes)
        try:
            return self._wait(checksum, waiting)
        except (LockFailed, OSError) as failure:
            self._give_up(failure)
            return None

    def _wait(self, checksum: str, waiting: BoundedWait) -> Lease | None:
        observed = _Observation(self._service, checksum, self._timeouts)
        claimable, losses = True, 0
        while not self._failed:
            waiting.check()
            if claimable:
                lease = self._try(checksum, observed.version)
                if lease is not None:
                    lease.killed = observed.token
                    return lease
                losses += 1
            observed.look()
            if losses == _REFUSALS and not observed.ever:
                self._probe()
            if waiting.over:
                self._out_of_patience(checksum, observed.who)
                return None
            lost, claimable = claimable, observed.version is None or observed.expired
            if lost or not claimable:
                waiting.pause(observed.who)
        return None

    def _doing(self, checksum: str) -> str:
        """Says for people what the holder does under the lock."""
        return f"publishes {checksum[:12]}"

    def _out_of_patience(self, checksum: str, who: str) -> None:
        self._notes.warn(
            f"The lock of {checksum[:12]} ({self._service.where}) was not free within "
            f"{self._timeouts.wait:.0f} s, {who} has it; going on without it."
        )

    def _probe(self) -> None:
        """Claim a random lock, which no other run can want. Raises `LockFailed` when the service does not give it."""
        checksum = secrets.token_hex(32)
        lease = self._try(checksum, None)
        if lease is None:
            raise LockFailed("nobody has the lock, and still it is not given to this run")
        self._service.release(checksum, lease.token)

    def _try(self, checksum: str, over: str | None) -> Lease | None:
        started = time.monotonic()
        token = self._service.token()
        claimed = False
        try:
            claimed = self._service.claim(checksum, token, over)
        except BaseException:
            # The claim may have succeeded: an interrupted run leaves no lock behind.
            with suppress(LockFailed, OSError):
                self._service.release(checksum, token)
            raise
        return Lease(self._service, checksum, token, started, self._timeouts) if claimed else None

    def _release(self, checksum: str, token: str) -> None:
        try:
            self._service.release(checksum, token)
        except (LockFailed, OSError) as failure:
            self._give_up(failure)

    def _give_up(self, failure: LockFailed | OSError) -> None:
        """Warn once, and use the service no more: it would fail for each stage again."""
        why = failure.strerror if isinstance(failure, OSError) else str(failure)
        with self._guard:
            told, self._failed = self._failed, True
        if not told:
            self._notes.warn(
                f"The lock {self._service.name} ({self._service.where}) cannot be used: {why}. This run goes on "
                "without it: its results are the same, only work may be done twice."
            )


class Lease:
    """A lock that this run holds, renewed as long as the work under it takes."""

    def __init__(self, service: Service, checksum: str, token: str, started: float, timeouts: LockTimeouts) -> None:
        """`started` is when the claim was sent: the service may count from then on."""
        self.killed = ""
        """The token of the run from which the lock was taken over, because it was killed; empty for none."""
        self._service = service
        self._checksum = checksum
        self.token = token
        self._renewed = started
        self._seconds = timeouts.lease
        self._away = timeouts.away
        self.lost = threading.Event()
        """Set when another run has the lock, or may have it by now."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def keep(self) -> None:
        self._thread.start()

    def doubtful(self) -> bool:
        """Whether the lease is nearly over, because it could not be renewed: soon another run may have the lock. It
        ends when a renewal arrives after all, which fails if another run was quicker."""
        return time.monotonic() - self._renewed >= _NEARLY * self._seconds

    def end(self) -> str:
        """Stop renewing. Returns the token that releases the lock."""
        self._done.set()
        self._thread.join()
        return self.token

    def _renew(self) -> None:
        pause = self._seconds / 2
        while not self._done.wait(max(0.0, self._renewed + pause - time.monotonic())):
            asked = time.monotonic()
            try:
                token = self._service.renew(self._checksum, self.token)
            except (LockFailed, OSError):
                # A service may be away for a moment; if it stays away, the release will say so.
                pause = asked - self._renewed + self._seconds / 12
                token = None if asked - self._renewed >= self._seconds + self._away else self.token
            else:
                self._renewed, pause = asked, self._seconds / 2
            if token is None:
                self.lost.set()
                return
            self.token = token


class _Observation:
    """The state of a lock as a waiting run has seen it, and for how long on its own clock."""

    def __init__(self, service: Service, checksum: str, timeouts: LockTimeouts) -> None:
        self._service = service
        self._checksum = checksum
        self._timeouts = timeouts
        self._holder: Holder | None = None
        self._identified = False
        self._since = 0.0
        self._asked = 0.0
        self.ever = False
        """Whether any run was seen to hold it."""

    @property
    def version(self) -> str | None:
        return None if self._holder is None else self._holder.version

    @property
    def token(self) -> str:
        return "" if self._holder is None else self._holder.token

    @property
    def who(self) -> str:
        return SOMEBODY if self._holder is None else self._holder.who

    @property
    def expired(self) -> bool:
        """Whether the holder has not renewed its lease, and this run may take the lock over."""
        if self._holder is None or not self._service.takes_over or not self._identified:
            return False
        said = self._holder.lease or self._timeouts.lease
        return self._asked - self._since >= min(max(said, self._timeouts.notice), _LONGEST_LEASE)

    def look(self) -> None:
        self._asked = time.monotonic()
        holder = self._service.look(self._checksum)
        if holder is None or holder.version != self.version:
            self._holder, self._identified, self._since = holder, False, time.monotonic()
        elif time.monotonic() - self._asked >= max(_SLOW, self._timeouts.lease / 4):
            self._since = time.monotonic()  # the service was away, for the holder perhaps too
        elif not self._identified and self._asked - self._since >= self._timeouts.notice:
            self._holder, self._identified = self._service.identify(self._checksum, holder), True
        self.ever = self.ever or holder is not None
