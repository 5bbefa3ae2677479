"""The wait of a run for one lock: bounded, shown when it is long, over at once when the run is stopped."""

from __future__ import annotations

import random
import time

from lineal.errors import Interrupted
from lineal.lock import LockTimeouts
from lineal.progress import Notes

_random = random.SystemRandom()


class BoundedWait:
    def __init__(self, doing: str, timeouts: LockTimeouts, notes: Notes) -> None:
        """`doing` says for people what the holder does under the lock."""
        self._doing = doing
        self._timeouts = timeouts
        self._notes = notes
        self._began = time.monotonic()
        self._noted = False

    @property
    def over(self) -> bool:
        """Whether this run has waited as long as it may."""
        return time.monotonic() - self._began >= self._timeouts.wait

    @property
    def long(self) -> bool:
        return time.monotonic() - self._began >= self._timeouts.notice

    def check(self) -> None:
        """Raises `Interrupted` when the run was stopped."""
        if self._notes.stopped.is_set():
            raise Interrupted("The run was stopped.")

    def pause(self, who: str) -> None:
        """Wait a moment, of another length each time: runs that wait for the same lock do not ask in step."""
        if self.long and not self._noted:
            self._noted = True
            self._notes.note(
                f"waiting    {who} {self._doing}; this run waits for it at most {self._timeouts.wait:.0f} s"
            )
        left = self._began + self._timeouts.wait - time.monotonic()
        self._notes.stopped.wait(max(0.0, min(left, self._timeouts.poll * _random.uniform(0.5, 1.5))))
        self.check()
