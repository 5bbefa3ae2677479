"""The tries of one request: how many, and how long to wait before the next one."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from lineal.clock import Time
from lineal.store.registry.response import Response

TRIES = 8
STRANGER_TRIES = 4
"""For a host that has not answered yet in this run: that its address is wrong is likelier than that it restarts."""
FIRST_DELAY = 0.3
MAX_DELAY = 4.0
LONGEST_PAUSE = 60.0
"""Seconds that a registry may want to be left alone; who wants more is not waited for."""
PATIENCE = 180.0
"""Seconds of such pauses for one request."""


class Waiting:
    """Waits for one host and says so, once for requests that wait together. Safe to use from several threads."""

    def __init__(self, host: str, time: Time, note: Callable[[str], None], at_a_limit: float = 0.0) -> None:
        """`at_a_limit`: seconds to wait where a limit is used up and nobody says for how long."""
        self._host, self.time, self._note, self._at_a_limit = host, time, note, at_a_limit
        self._guard = threading.Lock()
        self._told_until = float("-inf")

    def pause(self, answer: Response | None) -> float:
        """The seconds that an answer wants us to wait."""
        if answer is None:
            return 0.0
        return answer.pause(self.time) or (self._at_a_limit if answer.limited else 0.0)

    def wait(self, seconds: float, answer: Response | None) -> None:
        if answer is not None and (answer.limited or answer.pause(self.time) >= 1):
            self._tell(seconds, answer)
        self.time.sleep(seconds)

    def _tell(self, seconds: float, answer: Response) -> None:
        with self._guard:
            until = self.time.monotonic() + seconds
            if until <= self._told_until + 1:
                return
            self._told_until = until
        why = "limits how often it may be asked" if answer.limited else f"is busy (status {answer.status})"
        self._note(f"{self._host} {why}: asking again in {max(seconds, 1):.0f} s.")


class Tries:
    """Counts the tries of one request. `number` is the one that goes on, from 1."""

    def __init__(self, waiting: Waiting, most: int = TRIES) -> None:
        self._waiting, self._most = waiting, most
        self.number = 1
        self._left = PATIENCE

    def again(self, answer: Response | None = None) -> bool:
        """Wait before the next try: as long as the registry says, else longer each time, never in step.

        False at once when there is none: all are used up, or the registry wants a pause that is too long."""
        pause = self._waiting.pause(answer)
        if self.number >= self._most or pause > min(LONGEST_PAUSE, self._left):
            return False
        delay = min(FIRST_DELAY * 2 ** (self.number - 1), MAX_DELAY) * random.uniform(0.5, 1.5)  # noqa: S311
        self._left -= max(pause, 0.0)
        self.number += 1
        self._waiting.wait(max(pause, delay), answer)
        return True
