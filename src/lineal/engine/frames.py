"""A directory as frames of zstd, for an engine that unpacks them itself: what a kept cache begins with is stored so,
and a tar of it would be made, passed on and read in between, at a multiple of the cost.

The stream has a head, then the frames, each behind what stands in it. Both are `marshal`'s: who writes them is the
same program as who reads them, and has checked what they say."""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

Node = tuple[bytes, int, int, int, int]
"""A path without a leading slash, below directories of the same stream; mode, uid, gid, and the time in ns."""
Part = tuple[int, int, Node | int, int]
"""What stands in a frame from this byte on, with this size: a file, or what a scattered one of this number has from
that byte on."""

_SIZES = struct.Struct("<QQ")


class Head(NamedTuple):
    directories: Sequence[Node]
    """Each behind the one that it is in."""
    scattered: Sequence[Node]
    """Files that are empty, or whose content stands in several places."""
    hardlinks: Sequence[tuple[bytes, bytes]]
    """Paths, the second one of a file."""
    symlinks: Sequence[tuple[Node, bytes]]
    frames: int
    """How many follow."""


class Frame(NamedTuple):
    size: int
    """Bytes, unpacked."""
    parts: Sequence[Part]
    """In their order."""


def encode(said: Head | Frame, packed: bytes = b"") -> Iterator[bytes]:
    plain: tuple[Any, ...] = tuple(said)
    text = marshal.dumps(plain)
    yield _SIZES.pack(len(text), len(packed)) + text
    yield packed


def head_of(stream: BinaryIO) -> Head:
    return Head(*_next(stream)[0])


def frame_of(stream: BinaryIO) -> tuple[Frame, bytes]:
    """With the frame itself."""
    said, packed = _next(stream)
    return Frame(*said), packed


def _next(stream: BinaryIO) -> tuple[tuple[Any, ...], bytes]:
    """Raises `EOFError` for a stream that is cut short."""
    text, packed = (_exactly(stream, size) for size in _SIZES.unpack(_exactly(stream, _SIZES.size)))
    return marshal.loads(text), packed  # noqa: S302 (who wrote it is this program)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
