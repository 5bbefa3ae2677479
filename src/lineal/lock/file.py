"""The lock of a layout store: a file beside it, held with the operating system's advisory lock.

The system releases it when its holder dies, however that happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from lineal.lock import LockTimeouts
from lineal.lock.waiting import BoundedWait

_TERMS = LockTimeouts(wait=60.0, poll=0.1)


class FileLocks:
    name = "file"

    def __init__(
        self, folder: Path, warn: Callable[[str], None], wait: float = 60.0,
        note: Callable[[str], None] = lambda _: None, stopped: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """`wait` in seconds bounds the waiting for one checksum; `note` is told when it is long."""
        self._folder = folder
        self._warn = warn
        self._terms = replace(_TERMS, wait=wait)
        self._note = note
        self._stopped = stopped or threading.Event()

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        lock = FileLock(self._folder / f"{checksum}.lock")
        held = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = self._acquire(
                lock, BoundedWait(f"publishes {checksum[:12]}", self._terms, self._stopped, self._note)
            )
        except (OSError, NotImplementedError) as error:
            why = error.strerror if isinstance(error, OSError) else "the file system has no locks"
            self._warn(f"The lock {lock.lock_file} cannot be used ({why}); going on without it.")
        try:
            yield held
        finally:
            if held:
                lock.release()

    def _acquire(self, lock: FileLock, waiting: BoundedWait) -> bool:
        while True:
            try:
                lock.acquire(blocking=False)
                return True
            except Timeout:
                if waiting.over:
                    seconds = f"{self._terms.wait:.0f} s"
                    self._warn(f"The lock {lock.lock_file} was not free within {seconds}; going on without it.")
                    return False
            waiting.pause("another run on this machine")
