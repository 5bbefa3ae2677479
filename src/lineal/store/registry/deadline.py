"""The time that an answer may take altogether. A time-out of a socket begins anew with each byte that arrives.

One thread watches all deadlines of a process: a thread for each would take as long as the rest of a request."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from lineal.errors import Unreachable

SECONDS = 300.0
"""For the head of an answer, and for a body that is small."""
_thread = threading.local()


class Deadline:
    """Ends what is read inside the block when that takes too long, and raises `Unreachable` then."""

    def __init__(self, host: str, end: Callable[[], None] | None = None) -> None:
        """`end` makes the reading fail; without it, the socket that this thread takes for its request is shut."""
        self._host, self._seconds = host, SECONDS
        self._end = end
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
        with suppress(OSError, RuntimeError, ValueError):
            if self._end is not None:
                self._end()
            elif self._socket is not None:
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


def _watch(connection: socket.socket | None) -> None:
    deadline: Deadline | None = getattr(_thread, "deadline", None)
    if deadline is not None and connection is not None:
        deadline.watch(connection.fileno())


class _Watched:
    """A connection that tells the deadline of its thread which socket it uses."""

    sock: socket.socket | None

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        _watch(made)
        return made

    def request(self, *args: Any, **options: Any) -> None:
        _watch(self.sock)
        super().request(*args, **options)  # type: ignore[misc]


class _Http(_Watched, HTTPConnection): ...


class _Https(_Watched, HTTPSConnection):
    @property
    def is_connected(self) -> bool:
        """Whether it may be used. For urllib3, what arrives between two requests is the end of the connection. After
        the handshake of TLS 1.3 it is the server's tickets."""
        return super().is_connected or (self.sock is not None and _is_quiet(self.sock))


def _is_quiet(connection: socket.socket) -> bool:
    """Whether nothing has arrived but what TLS keeps to itself."""
    seconds = connection.gettimeout()
    try:
        connection.setblocking(False)
        connection.recv(1)  # something to read, or the end
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    finally:
        with suppress(OSError):
            connection.settimeout(seconds)
    return False


class HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


POOLS = {"http": HttpPool, "https": HttpsPool}
"""Pools of such connections, as a manager of urllib3 takes them (`pool_classes_by_scheme`)."""
