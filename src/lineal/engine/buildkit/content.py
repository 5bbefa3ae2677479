"""The blobs that a daemon has: it lets its clients read them, so that no registry need be asked for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from lineal.engine.buildkit.grpc import Connection, RpcError, answer
from lineal.engine.buildkit.protocol import content_pb2
from lineal.errors import Unreachable

_CONTENT = "/containerd.services.content.v1.Content/"
_LARGEST = 4 << 20
"""Bytes of a document."""


def has(control: Connection, digests: Sequence[str]) -> bool:
    """Whether the daemon has all of them. Raises `ConnectionLost`."""
    requests = [content_pb2.InfoRequest(digest=digest).SerializeToString() for digest in digests]
    try:
        for asked in [control.ask(_CONTENT + "Info", request) for request in requests]:
            answer(asked)
    except RpcError:
        return False
    return True


def chunks(control: Connection, digest: str) -> Iterator[bytes]:
    """Of a blob, whose digest is verified at the end. Raises `RpcError`, before the first one where the daemon does
    not have it, `ConnectionLost` and `Unreachable`."""
    found = hashlib.sha256()
    request = content_pb2.ReadContentRequest(digest=digest).SerializeToString()
    for message in control.ask(_CONTENT + "Read", request).messages():
        data = content_pb2.ReadContentResponse.FromString(message).data
        found.update(data)
        yield data
    if digest != f"sha256:{found.hexdigest()}":
        raise Unreachable(f"The buildkitd gives other bytes for {digest}.", id="LN-5003", remedy="Run again.")


def document(control: Connection, digest: str) -> bytes:
    """A small one. Raises as `chunks` does."""
    data = bytearray()
    for chunk in chunks(control, digest):
        data += chunk
        if len(data) > _LARGEST:
            raise Unreachable("The buildkitd made an image in a form that is not understood.", id="LN-5003")
    return bytes(data)
