"""An SSH agent of this machine for a command: a socket that passes on what a build may ask of it."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LARGEST = 256 * 1024
_IDENTITIES, _SIGN = 11, 13
"""The requests that a command may make of an agent: to list keys and to sign, as with `docker build`; not to add,
remove or lock."""
_FAILURE = b"\5"


@contextmanager
def forwarded(agent: Path, directory: Path, name: str) -> Iterator[Path]:
    """A socket in the directory, which listens while the block lasts."""
    listener = socket.socket(socket.AF_UNIX)
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        # The path of a socket may have 107 bytes only.
        listener.bind(f"/proc/self/fd/{place}/{name}")
        listener.listen()
        threading.Thread(target=_serve, args=(listener, agent), daemon=True).start()
        yield directory / name
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        os.close(place)


def _serve(listener: socket.socket, agent: Path) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer_all, args=(client, agent), daemon=True).start()


def _answer_all(client: socket.socket, agent: Path) -> None:
    """One client, with a connection of its own to the agent."""
    with client, suppress(OSError, EOFError), socket.socket(socket.AF_UNIX) as own:
        own.connect(str(agent))
        while True:
            message = _message(client)
            if message[:1] and message[0] in (_IDENTITIES, _SIGN):
                own.sendall(struct.pack(">L", len(message)) + message)
                answer = _message(own)
            else:
                answer = _FAILURE
            client.sendall(struct.pack(">L", len(answer)) + answer)


def _message(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">L", _exactly(connection, 4))
    if size > _LARGEST:
        raise EOFError
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
