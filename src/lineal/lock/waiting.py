"""One run's wait for one lock: bounded, shown when it is long, over at once when the run is stopped."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from lineal.errors import Interrupted
from lineal.lock import LockTimeouts

_random = random.SystemRandom()


class BoundedWait:
    """`doing`: what whoever has the lock does with it."""

    def __init__(
        self, doing: str, terms: LockTimeouts, stopped: threading.Event, note: Callable[[str], None]
    ) -> None:
        self._doing = doing
        self._terms = terms
        self._stopped = stopped
        self._note = note
        self._began = time.monotonic()
        self._noted = False

    @property
    def over(self) -> bool:
        """Whether this run has waited as long as it may."""
        return time.monotonic() - self._began >= self._terms.wait

    @property
    def long(self) -> bool:
        return time.monotonic() - self._began >= self._terms.notice

    def check(self) -> None:
        """Raises `Interrupted` when the run was stopped."""
        if self._stopped.is_set():
            raise Interrupted("The run was stopped.")

    def pause(self, who: str) -> None:
        """Wait a moment, of another length each time: runs that wait for the same lock do not ask in step."""
        if self.long and not self._noted:
            self._noted = True
            self._note(f"waiting    {who} {self._doing}; this run waits for it at most {self._terms.wait:.0f} s")
        left = self._began + self._terms.wait - time.monotonic()
        self._stopped.wait(max(0.0, min(left, self._terms.poll * _random.uniform(0.5, 1.5))))
        self.check()
