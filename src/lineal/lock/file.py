"""The lock of a layout store: a file beside it, held with the operating system's advisory lock.

The system releases it when its holder dies, however that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class LockFiles:
    name = "file"

    def __init__(self, folder: Path, warn: Callable[[str], None], wait: float = 60.0) -> None:
        """`wait` in seconds bounds the waiting for one checksum."""
        self._folder = folder
        self._warn = warn
        self._wait = wait

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        lock = FileLock(self._folder / f"{checksum}.lock", timeout=self._wait)
        held = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            held = True
        except Timeout:
            self._warn(f"The lock {lock.lock_file} was not free within {self._wait:.0f} s; going on without it.")
        except (OSError, NotImplementedError) as error:
            why = error.strerror if isinstance(error, OSError) else "the file system has no locks"
            self._warn(f"The lock {lock.lock_file} cannot be used ({why}); going on without it.")
        try:
            yield held
        finally:
            if held:
                lock.release()
