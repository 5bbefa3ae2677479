"""What carries a connection to buildkitd: a Unix socket, TCP with or without TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

_CHUNK = 1 << 16


class SocketTransport:
    """A connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        self._socket = connection

    def receive(self) -> bytes:
        return self._socket.recv(_CHUNK)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class TlsTransport:
    """A TLS connection. One TLS object may not be read and written at the same time: neither waits inside of it."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._lock = threading.Lock()

    def receive(self) -> bytes:
        while True:
            try:
                with self._lock:
                    return self._socket.recv(_CHUNK)
            except ssl.SSLWantReadError:
                self._wait(reading=True)
            except ssl.SSLWantWriteError:
                self._wait(reading=False)
            except ssl.SSLZeroReturnError:
                return b""

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                with self._lock:
                    rest = rest[self._socket.send(rest) :]
            except ssl.SSLWantWriteError:
                self._wait(reading=False)
            except ssl.SSLWantReadError:
                self._wait(reading=True)

    def _wait(self, *, reading: bool) -> None:
        number = self._socket.fileno()
        if number < 0:
            raise OSError("the connection was closed")
        poll = select.poll()
        poll.register(number, select.POLLIN if reading else select.POLLOUT)
        poll.poll()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
