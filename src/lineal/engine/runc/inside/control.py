"""How a task is told what to do, and answers: a line of JSON each."""

from __future__ import annotations

import json
import os
import socket
from typing import Any


class Control:
    """The socket to who started this task."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._reader = self._socket.makefile("rb")

    def receive(self) -> dict[str, Any]:
        line = self._reader.readline()
        if not line:
            os._exit(1)
        document: dict[str, Any] = json.loads(line)
        return document

    def send(self, **document: Any) -> None:
        self._socket.sendall(json.dumps(document).encode() + b"\n")


def silence() -> None:
    """Let go of the command's output: who reads it waits for its end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
