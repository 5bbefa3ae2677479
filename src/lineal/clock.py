"""This machine's clocks, replaceable in tests."""

from __future__ import annotations

import time
from collections.abc import Callable

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Time:
    """This machine's clocks, replaceable in tests: wall and monotonic in seconds, and a sleep."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
