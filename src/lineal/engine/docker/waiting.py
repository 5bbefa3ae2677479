"""Waiting for an answer of the engine no longer than the run lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_EVERY = 0.2
"""Seconds between two looks whether to go on waiting."""


def call_interruptibly(work: Callable[[], T], check: Callable[[], None]) -> T:
    """What `work` returns or raises; given up, and left to itself, when `check` raises.

    For calls during which the engine is silent for long and whose effect does no harm when nobody waits for it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that waits)
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_EVERY)
        if thread.is_alive():
            check()
    if errors:
        raise errors[0]
    return results[0]
