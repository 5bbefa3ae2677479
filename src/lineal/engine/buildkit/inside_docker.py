"""The BuildKit inside a Docker Engine: the engine does not say what it emulates, and this does."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

from lineal.engine.buildkit.grpc import Connection, ConnectionLost, RpcError
from lineal.engine.buildkit.machine import platforms_of
from lineal.engine.docker.client import Client
from lineal.errors import LinealError

_CHUNK = 1 << 16


def emulated(client: Client) -> Sequence[str] | None:
    """The platforms that the engine executes, as `docker buildx ls` has them; None for what has no BuildKit, such as
    Podman."""
    with suppress(LinealError, ConnectionLost, RpcError, OSError, ValueError):
        connection = Connection(_Upgraded(*client.upgraded("/grpc")), authority="localhost")
        try:
            return platforms_of(connection)
        finally:
            connection.close()
    return None


class _Upgraded:
    """A connection that began as HTTP, and what was read of it already."""

    def __init__(self, connection: socket.socket, there: bytes) -> None:
        self._socket, self._there = connection, there

    def receive(self) -> bytes:
        there, self._there = self._there, b""
        return there or self._socket.recv(_CHUNK)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
