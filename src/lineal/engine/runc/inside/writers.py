"""Small files of a tar, written by several threads beside the one that reads it: a file system takes longer to make
many files than a processor to unpack them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from lineal.tar.reader import Entry

LARGEST = 1 << 20
"""Bytes of a file that is small."""
_THREADS = 2
_HELD = 16 << 20
"""Bytes that may wait to be written, about."""
_MOST = 10_000
"""Paths that are remembered, about."""
_WEIGHT = 1 << 12
"""What a file counts for beside its content."""

Write = Callable[[str, Entry, Sequence[bytes]], None]


class Writers:
    def __init__(self, write: Write) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._held = 0
        self._failure: BaseException | None = None
        self._waiting: set[str] = set()
        """The paths of all that was added since everything was there."""
        self._queues: list[queue.SimpleQueue[tuple[str, Entry, Sequence[bytes]]]] = []

    def add(self, directory: str, path: str, entry: Entry, content: Sequence[bytes]) -> None:
        """Have a file written. Raises what went wrong with others."""
        if len(self._waiting) > _MOST:
            self.wait()
        if not self._queues:
            self._begin()
        with self._changed:
            self._changed.wait_for(lambda: self._held < _HELD)
            self._held += entry.size + _WEIGHT
        self._waiting.add(path)
        # A directory is locked while a file is made in it: those of one are one thread's, and keep their order.
        self._queues[hash(directory) % _THREADS].put((path, entry, content))

    def settle(self, path: str) -> None:
        """Until what was added with this path is there."""
        if path in self._waiting:
            self.wait()

    def wait(self) -> None:
        """Until all is there. Raises what went wrong."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
        self._waiting.clear()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        for _ in range(_THREADS):
            todo: queue.SimpleQueue[tuple[str, Entry, Sequence[bytes]]] = queue.SimpleQueue()
            self._queues.append(todo)
            threading.Thread(target=self._work, args=(todo,), daemon=True).start()

    def _work(self, todo: queue.SimpleQueue[tuple[str, Entry, Sequence[bytes]]]) -> None:
        while True:
            path, entry, content = todo.get()
            try:
                if self._failure is None:
                    self._write(path, entry, content)
            except BaseException as error:  # noqa: BLE001 (raised in `wait`)
                self._failure = error
            with self._changed:
                self._held -= entry.size + _WEIGHT
                self._changed.notify()
