"""The machine of a Docker Engine. The BuildKit inside the engine knows what it emulates."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

from lineal.engine.docker.client import Client
from lineal.engine.machine import Machine
from lineal.errors import LinealError
from lineal.oci.platform import normal

_CHUNK = 1 << 16


def machine_of(client: Client) -> Machine:
    """Raises `Unreachable`."""
    found = client.json("GET", "/version", "ask for the engine's platform")
    return Machine(normal(f"{found['Os']}/{found['Arch']}"), lambda: _emulated(client))


def _emulated(client: Client) -> Sequence[str] | None:
    """As `docker buildx ls` has it; None for what has no BuildKit, such as Podman."""
    from lineal.engine.buildkit.grpc import Connection, ConnectionLost, RpcError
    from lineal.engine.buildkit.machine import platforms_of

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
