"""What reading something hostile may take, and how it may end: with an answer or with a `LinealError`."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from lineal.errors import LinealError

P = ParamSpec("P")
T = TypeVar("T")
SECONDS = 10
"""Of a processor, so that a busy machine changes nothing. What is read here takes milliseconds."""
MEMORY = 1 << 30
"""Bytes on top of what the tests have."""


class Endless(BaseException):
    """Not an `Exception`: nobody on the way takes it for a broken file."""


@contextmanager
def bounds(memory: int = MEMORY) -> Iterator[None]:
    """Raises `Endless` when it takes too long; what takes too much memory gets a `MemoryError`."""

    def stop(*_: object) -> None:
        raise Endless(f"still reading after {SECONDS} s of a processor")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGVTALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, before)


def answer(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | None:
    """What it reads; None where that is refused in a sentence with an id."""
    with bounds():
        try:
            return read(*args, **options)
        except LinealError as error:
            assert error.message and error.id.startswith("LN-"), error
            return None
