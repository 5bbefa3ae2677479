"""The lock of a layout store: a file beside it, held with the operating system's advisory lock.

The system releases it when its holder dies, however that happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from lineal.lock import LockTimeouts
from lineal.lock.waiting import BoundedWait
from lineal.progress import Notes

_TIMEOUTS = LockTimeouts(wait=60.0, poll=0.1)


class FileLocks:
    name = "file"

    def __init__(self, folder: Path, notes: Notes, wait: float = _TIMEOUTS.wait) -> None:
        """`wait` is the longest wait for one checksum, in seconds."""
        self._folder = folder
        self._notes = notes
        self._timeouts = replace(_TIMEOUTS, wait=wait)

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        lock = FileLock(self._folder / f"{checksum}.lock")
        held = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = self._acquire(lock, BoundedWait(f"publishes {checksum[:12]}", self._timeouts, self._notes))
        except (OSError, NotImplementedError) as error:
            why = error.strerror if isinstance(error, OSError) else "the file system has no locks"
            self._notes.warn(f"The lock {lock.lock_file} cannot be used ({why}); going on without it.")
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
                    seconds = f"{self._timeouts.wait:.0f} s"
                    self._notes.warn(f"The lock {lock.lock_file} was not free within {seconds}; going on without it.")
                    return False
            waiting.pause("another run on this machine")
