"""Compressed streams read as plain ones: layers by their media type, archives by how they begin."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from lineal.errors import Unreachable
from lineal.tar.header import Malformed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 18
_XZ_MEMORY = 256 << 20
"""Bytes that unpacking xz may take, which the archive chooses."""


def open_layer(chunks: Iterator[bytes], media_type: str) -> BinaryIO:
    """A layer as an uncompressed tar. Raises `Unreachable` for a type that is not supported, `Malformed` while
    reading."""
    for ending, start in (("gzip", _gzip), ("zstd", _zstd), ("tar", None)):
        if media_type.endswith(ending):
            return _opened(chunks, start)
    raise Unreachable(f"A layer of the type {media_type} cannot be read.", id="LN-5017")


def open_archive(chunks: Iterator[bytes]) -> BinaryIO:
    """An archive as an uncompressed tar: gzip, bzip2, xz and zstd are known by their first bytes. Raises `Malformed`
    while reading."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 6:
            break
    start = next((start for magic, start in _MAGIC.items() if head.startswith(magic)), None)
    return _opened(chain([head], chunks), start)


def _opened(chunks: Iterator[bytes], start: Callable[[], Any] | None) -> BinaryIO:
    raw = ChunkStream(chunks) if start is None else _Inflated(chunks, start)
    return cast(BinaryIO, io.BufferedReader(raw, CHUNK))


class ChunkStream(io.RawIOBase):
    """An iterator of chunks as a stream to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer)
        while not self._rest:
            chunk = self._next()
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes | None:
        return next(self._chunks, None)


class _Inflated(ChunkStream):
    """Compressed chunks as an uncompressed stream, several members after each other included."""

    def __init__(self, chunks: Iterator[bytes], start: Callable[[], Any]) -> None:
        super().__init__(chunks)
        self._start = start
        self._decoder: Any = None
        self._input = b""

    def _next(self) -> bytes | None:
        while True:
            if not self._input and (self._decoder is None or getattr(self._decoder, "needs_input", True)):
                chunk = next(self._chunks, None)
                if chunk is None:
                    if self._decoder is not None:
                        raise Malformed("the compressed data ends too early")
                    return None
                self._input = chunk
            if self._decoder is None:
                self._input = self._input.lstrip(b"\0")  # padding between and after members
                if not self._input:
                    continue
                self._decoder = self._start()
            if data := self._decode():
                return data

    def _decode(self) -> bytes:
        decoder = self._decoder
        try:
            data: bytes = decoder.decompress(self._input, CHUNK * 4)
        except Exception as error:
            # Every library has its own class for this; all of them mean the same.
            raise Malformed("the compressed data is broken") from error
        if decoder.eof:
            self._input = decoder.unused_data
            self._decoder = None
        else:
            # zlib gives back what it has not used yet; the others keep it themselves.
            self._input = getattr(decoder, "unconsumed_tail", b"")
        return data


def _gzip() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(31)
    return isal_zlib.decompressobj(31)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


def _bzip2() -> Any:
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> Any:
    import lzma

    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


_MAGIC = {b"\x1f\x8b": _gzip, b"BZh": _bzip2, b"\xfd7zXZ\0": _xz, b"\x28\xb5\x2f\xfd": _zstd}
