"""The time that an answer may take altogether. A time-out of a socket begins anew with each byte that arrives.

One thread watches all deadlines of a process: a thread for each would take as long as the rest of a request."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from lineal.errors import Unreachable

SECONDS = 300.0
"""For the head of an answer, and for a body that is small."""
_thread = threading.local()


class Deadline:
    """Ends what is read inside the block when that takes too long, and raises `Unreachable` then."""

    def __init__(self, host: str) -> None:
        """The socket that this thread takes for its request is shut when it is over."""
        self._host, self._seconds = host, SECONDS
        self._socket: socket.socket | None = None
        self._over = False

    def __enter__(self) -> Self:
        _thread.deadline = self
        _watcher.begin(self, self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _watcher.end(self)
        _thread.deadline = None
        if self._socket is not None:
            self._socket.close()
        if self._over:
            raise Unreachable(
                f"{self._host} needs more than {self._seconds:.0f} s for a small answer.",
                id="LN-4033",
                remedy="Run again; if it stays like this, look at the registry and at a proxy before it.",
            ) from None

    def watch(self, descriptor: int) -> None:
        """A second handle of the socket: TLS takes the first one for itself."""
        if self._socket is not None:
            self._socket.close()
        self._socket = socket.socket(fileno=os.dup(descriptor))
        if self._over:
            self.expire()

    def expire(self) -> None:
        self._over = True
        with suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


class _Watcher:
    """Expires deadlines, in a thread that begins with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ends: dict[Deadline, float] = {}
        """When each one is over, on the monotonic clock."""
        self._next = float("inf")
        """When the thread looks again."""
        self._thread: threading.Thread | None = None

    def begin(self, deadline: Deadline, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self._changed:
            self._ends[deadline] = end
            # A process that was forked has no thread of its parent's.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
            elif end < self._next:
                self._changed.notify()

    def end(self, deadline: Deadline) -> None:
        with self._changed:
            self._ends.pop(deadline, None)

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._next = min(self._ends.values(), default=time.monotonic() + SECONDS)
                self._changed.wait(self._next - time.monotonic())
                now = time.monotonic()
                over = [deadline for deadline, end in self._ends.items() if end <= now]
                for deadline in over:
                    del self._ends[deadline]
            for deadline in over:
                deadline.expire()


_watcher = _Watcher()


def watch(descriptor: int) -> None:
    """Tell the deadline of this thread, if there is one, which socket is used."""
    deadline: Deadline | None = getattr(_thread, "deadline", None)
    if deadline is not None:
        deadline.watch(descriptor)
