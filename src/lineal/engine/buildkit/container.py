"""A buildkitd in a container of the Docker Engine: reached by `buildctl dial-stdio` in there, as buildx does."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lineal.engine.docker.client import Client
from lineal.text import printable

_OUTPUT = 1
_SAID = 2000
"""Bytes of a failing program's words that are kept."""


def dial(name: str, environ: Mapping[str, str]) -> ContainerTransport:
    """A connection to the daemon in a running container. Raises `Unreachable` when the Docker Engine says no."""
    client = Client(environ, lambda: None)
    streams = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False}
    body = {"Cmd": ["buildctl", "dial-stdio"], **streams}
    made = client.json("POST", f"/containers/{name}/exec", f"run a program in the container {name}", body=body)
    return ContainerTransport(client.start(made["Id"]))


class ContainerTransport:
    """What a program in a container reads and writes; its output comes in Docker's frames."""

    def __init__(self, attached: Any) -> None:
        self._attached = attached
        """Over unix and TCP it is a reader around the socket; it must live as long as that."""
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)
        self._said = b""

    def receive(self) -> bytes:
        while True:
            head = self._exactly(8)
            if len(head) < 8:
                if self._said:
                    raise OSError(printable(self._said.decode(errors="replace").strip()))
                return b""
            channel, length = struct.unpack(">BxxxL", head)
            data = self._exactly(length)
            if channel == _OUTPUT and data:
                return data
            self._said = (self._said + data)[-_SAID:]

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                break
            data += chunk
        return bytes(data)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
