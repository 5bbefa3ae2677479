"""zstd, wherever this Python has it, for small blocks in memory."""

from __future__ import annotations

import sys
from mmap import mmap
from typing import Any

LEVEL = 3
_PIECE = 64 << 10
"""Bytes that are given to a decoder, or thrown away, at a time."""

_GIVEN = 256 << 10
"""The same for a compressor."""


class Invalid(ValueError):
    """What was to be unpacked is no whole frame, or not the one that was said."""


def load() -> None:
    """For who changes its root, and finds no library afterwards."""
    _library()


def _library() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def compress(data: bytes | bytearray | memoryview) -> bytes:
    packed: bytes = _library().compress(data, LEVEL)
    return packed


class Compressor:
    """Makes one frame after the other of at most so many bytes, in memory of its own: what is taken anew for each
    stays with the process in pieces."""

    def __init__(self, most: int) -> None:
        self._compressor = _library().ZstdCompressor(LEVEL)
        self._packed = mmap(-1, most + most // 128 + _PIECE)

    def frame(self, data: memoryview) -> memoryview:
        """It is there until the next one is made. Its header has the size of the data."""
        self._packed.seek(0)
        self._compressor.set_pledged_input_size(len(data))
        for start in range(0, len(data), _GIVEN):
            self._packed.write(self._compressor.compress(data[start : start + _GIVEN]))
        self._packed.write(self._compressor.flush())
        return memoryview(self._packed)[: self._packed.tell()]


def decompress(data: bytes, limit: int) -> bytes:
    """At most `limit` bytes. Raises `Invalid` for more, and for what is no whole frame."""
    library = _library()
    decoder = _decoder(library)
    try:
        found: bytes = decoder.decompress(data, limit + 1)
    except library.ZstdError as error:
        raise Invalid(str(error)) from error
    if len(found) > limit or not decoder.eof:
        raise Invalid("too much data, or not all of it")
    return found


class Frame:
    """A frame of so many bytes that is unpacked as it is read: the memory for a whole one costs more than unpacking.

    Raises `Invalid` for what is none."""

    def __init__(self, data: bytes, size: int) -> None:
        self._library = _library()
        self._data = data
        self._rewind()
        try:
            said = self._library.get_frame_info(data).decompressed_size
        except self._library.ZstdError as error:
            raise Invalid(str(error)) from error
        if said != size:
            raise Invalid("it says that it has another size")

    def read(self, offset: int, size: int) -> bytes:
        """Those bytes, cheapest where they come soon behind the last ones. Raises `Invalid` where it has none."""
        if offset < self._position:
            self._rewind()
        try:
            while self._position < offset:
                self._some(min(offset - self._position, _PIECE))
            parts = []
            while size:
                parts.append(self._some(size))
                size -= len(parts[-1])
        except (self._library.ZstdError, EOFError) as error:
            raise Invalid("it is broken") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _rewind(self) -> None:
        self._decoder = _decoder(self._library)
        self._given = self._position = 0

    def _some(self, most: int) -> bytes:
        """Bytes that come next, or none where the frame has to be given more before there are any."""
        given = b""
        if self._decoder.needs_input:
            given = self._data[self._given : self._given + _PIECE]
            self._given += len(given)
            if not given:
                raise EOFError
        found: bytes = self._decoder.decompress(given, most)
        self._position += len(found)
        return found


def _decoder(library: Any) -> Any:
    return library.ZstdDecompressor(options={library.DecompressionParameter.window_log_max: 27})
