"""The registry's time, from the `Date` of its answers: one clock for all runners (DESIGN §1, G4)."""

from __future__ import annotations

import threading
from email.utils import parsedate_to_datetime

from lineal.clock import Time


class ServerClock:
    """Bounds how far the server's clock is ahead of this machine's monotonic clock, ever closer with each answer.

    A `Date` has a resolution of one second, so one answer says the offset to within a second and the round trip;
    the intersection over the answers of a run is far narrower (20 answers: some 70 ms)."""

    def __init__(self, own: Time) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._bounds: tuple[float, float] | None = None
        self._last = 0

    @property
    def known(self) -> bool:
        return self._bounds is not None

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """Learn from the `Date` of an answer to a request sent and received at these monotonic seconds."""
        seconds = _seconds(date)
        if seconds is None:
            return
        low, high = seconds - received, seconds + 1 - sent
        with self._lock:
            if self._bounds is not None:
                narrowed = max(low, self._bounds[0]), min(high, self._bounds[1])
                # Bounds that exclude each other: the clock was set, or another replica answered. The newest counts.
                low, high = narrowed if narrowed[0] < narrowed[1] else (low, high)
            self._bounds = (low, high)

    def now(self) -> int:
        """Milliseconds since the epoch; never goes back. This machine's time while no answer has been seen."""
        with self._lock:
            if self._bounds is None:
                return int(self._own.wall() * 1000)
            estimate = self._own.monotonic() + (self._bounds[0] + self._bounds[1]) / 2
            self._last = max(self._last, int(estimate * 1000))
            return self._last


def _seconds(date: str | None) -> float | None:
    if not date:
        return None
    try:
        seconds = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None
