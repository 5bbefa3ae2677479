"""A buildkitd in a pod: reached by `buildctl dial-stdio` in there over the cluster's API, as buildx does.

BuildKit's own client runs `kubectl exec`; Lineal's image has no kubectl, but logs in to clusters by itself. So this
is the same request over a WebSocket, which every API server takes: the first byte of a message says whose it is."""

from __future__ import annotations

import json
import os
import ssl
import struct
import threading
from collections.abc import Mapping
from typing import Any

from lineal.engine.buildkit.address import Address
from lineal.engine.buildkit.grpc import Transport
from lineal.engine.buildkit.transport import SocketTransport, TlsTransport
from lineal.errors import Unreachable
from lineal.kube.client import KubeClient, KubeRefused, path
from lineal.kube.login import KubeUnavailable
from lineal.text import printable

_PROTOCOL = "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_CONTINUED, _BINARY, _CLOSE, _PING, _PONG = 0, 2, 8, 9, 10
_LARGEST = 32 << 20
"""Bytes of a message that is read; kubelets send far less."""
_CHUNK = 1 << 15
"""Bytes of a message that is sent."""
_SAID = 2000
"""Bytes of a failing program's words that are kept."""


def dial(address: Address, environ: Mapping[str, str]) -> PodTransport:
    """A connection to the daemon in a running pod. Raises `Unreachable` when the cluster does not let us, and OSError
    for what another try may change."""
    about = address.pod
    try:
        client = KubeClient.connect(environ, about.context)
    except KubeUnavailable as error:
        raise Unreachable(
            f"The buildkitd at {address} cannot be reached: {error}.", id="LN-5028",
            remedy="Name the cluster by KUBECONFIG and `context=`, or another engine by `--engine` (LINEAL_ENGINE).",
        ) from error  # fmt: skip
    query = [("command", "buildctl"), ("command", "dial-stdio"), ("stdin", "true"), ("stdout", "true")]
    query += [("stderr", "true"), *([("container", about.container)] if about.container else [])]
    place = path("api/v1", about.namespace or client.namespace, "pods", address.place)
    try:
        plain, early = client.websocket(f"{place}/exec", query, _PROTOCOL)
        return PodTransport(client, plain, early)
    except KubeUnavailable as error:
        client.close()
        raise OSError(str(error)) from error
    except KubeRefused as error:
        client.close()
        if not error.forbidden:
            raise OSError(str(error)) from error
        raise Unreachable(
            f"No permission to use the buildkitd at {address}: {error}.", id="LN-5028",
            remedy="Let this account `get` and `create` `pods/exec`, or name another engine.",
        ) from error  # fmt: skip


class PodTransport:
    """What a program in a pod reads and writes, in the frames of a WebSocket."""

    def __init__(self, client: KubeClient, plain: Any, early: bytes) -> None:
        self._client = client
        self._below: Transport = TlsTransport(plain) if isinstance(plain, ssl.SSLSocket) else SocketTransport(plain)
        self._sending = threading.Lock()
        self._buffer = bytearray(early)
        self._channel = _STDOUT
        self._said = b""
        self._status = ""

    def receive(self) -> bytes:
        while (frame := self._frame()) is not None:
            kind, data = frame
            if kind == _PING:
                self._send(_PONG, data[:125])
            elif kind == _CLOSE:
                break
            elif kind in (_CONTINUED, _BINARY):
                if kind == _BINARY and data:
                    self._channel, data = data[0], data[1:]
                if self._channel == _STDOUT and data:
                    return data
                self._note(data)
        if reason := self._said.decode(errors="replace").strip() or self._status:
            raise OSError(printable(reason))
        return b""

    def _note(self, data: bytes) -> None:
        if self._channel == _STDERR:
            self._said = (self._said + data)[-_SAID:]
        elif self._channel == _STATUS:
            try:
                told = json.loads(data)
                self._status = "" if told["status"] == "Success" else str(told.get("message") or "the program ended")
            except (ValueError, KeyError, TypeError, AttributeError):
                self._status = data.decode(errors="replace")

    def _frame(self) -> tuple[int, bytes] | None:
        """The kind and content of the next frame; None at the end."""
        head = self._exactly(2)
        if head is None:
            return None
        size = head[1] & 127
        if size >= 126:
            long = self._exactly(2 if size == 126 else 8)
            if long is None:
                return None
            size = int.from_bytes(long, "big")
        if head[1] & 128 or size > _LARGEST:
            raise OSError("the cluster's answer is no WebSocket's")
        data = self._exactly(size)
        return None if data is None else (head[0] & 15, data)

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            chunk = self._below.receive()
            if not chunk:
                return None
            self._buffer += chunk
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            self._send(_BINARY, bytes([_STDIN]) + data[start : start + _CHUNK])

    def _send(self, kind: int, data: bytes) -> None:
        size, key = len(data), os.urandom(4)
        length = struct.pack(">B", 128 | size) if size < 126 else struct.pack(">BH", 128 | 126, size)
        masked = int.from_bytes(data, "big") ^ int.from_bytes((key * (size // 4 + 1))[:size], "big")
        with self._sending:
            self._below.send(bytes([128 | kind]) + length + key + masked.to_bytes(size, "big"))

    def close(self) -> None:
        self._below.close()
