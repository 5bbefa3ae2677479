"""Runs a program for `kubectl exec`, as a kubelet does over a WebSocket: the first byte of a message says whose it
is."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import BinaryIO, cast

from lineal.engine.buildkit.transport import TlsTransport

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)


def serve(handler: BaseHTTPRequestHandler, command: list[str], env: Mapping[str, str]) -> None:
    """Answer a request to run `command`; returns when it has ended."""
    key = handler.headers["Sec-WebSocket-Key"] + _GUID
    handler.send_response(101)
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Sec-WebSocket-Protocol", handler.headers["Sec-WebSocket-Protocol"].split(",")[0])
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
    handler.end_headers()
    program = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    socket = _Socket(TlsTransport(handler.connection))
    streams = [(_STDOUT, cast(BinaryIO, program.stdout)), (_STDERR, cast(BinaryIO, program.stderr))]
    out = [threading.Thread(target=socket.copy, args=one) for one in streams]
    threading.Thread(target=_feed, args=(socket, program), daemon=True).start()
    for thread in out:
        thread.start()
    for thread in out:
        thread.join()
    code = program.wait()
    socket.send(_STATUS, json.dumps(_status(code)).encode())
    socket.end()
    handler.close_connection = True


def _feed(socket: _Socket, program: subprocess.Popen[bytes]) -> None:
    """Its input ends with the client."""
    try:
        while (message := socket.receive()) is not None:
            if message[:1] == bytes([_STDIN]):
                cast(BinaryIO, program.stdin).write(message[1:])
                cast(BinaryIO, program.stdin).flush()
    except OSError:
        pass
    program.kill()


def _status(code: int) -> dict[str, str]:
    if not code:
        return {"status": "Success"}
    return {"status": "Failure", "message": f"command terminated with non-zero exit code: {code}"}


class _Socket:
    """The server's side."""

    def __init__(self, transport: TlsTransport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._buffer = b""

    def copy(self, channel: int, source: BinaryIO) -> None:
        while data := source.read1(1 << 15):  # type: ignore[attr-defined]
            self.send(channel, data)

    def send(self, channel: int, data: bytes) -> None:
        data = bytes([channel]) + data
        size = len(data)
        head = struct.pack(">BB", 130, size) if size < 126 else struct.pack(">BBH", 130, 126, size)
        with self._lock:
            self._transport.send(head + data)

    def receive(self) -> bytes | None:
        """A message, unmasked; None at the end."""
        first, size = self._exactly(2)
        if first & 15 == 8:
            return None
        size &= 127
        if size == 126:
            (size,) = struct.unpack(">H", self._exactly(2))
        key, data = self._exactly(4), self._exactly(size)
        return bytes(byte ^ key[at % 4] for at, byte in enumerate(data))

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = self._transport.receive()
            if not chunk:
                raise OSError("the client is gone")
            self._buffer += chunk
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def end(self) -> None:
        with self._lock:
            self._transport.send(b"\x88\x00")
        self._transport.close()
