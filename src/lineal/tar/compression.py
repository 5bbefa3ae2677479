"""Compressed streams, known by how they begin, read as plain ones."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from lineal.tar.header import Malformed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 18
HEAD = 6
"""Bytes by which a compression is known."""
_XZ_MEMORY = 256 << 20
"""Bytes that unpacking xz may take, which the archive chooses."""


def open_archive(chunks: Iterator[bytes]) -> BinaryIO:
    """An archive or a layer as an uncompressed tar: gzip, bzip2, xz and zstd are known by their first bytes, whatever
    a name or a media type says, as engines know them. Raises `Malformed` while reading."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    method = compression_of(head)
    raw = ChunkStream(chain([head], chunks)) if not method else _Inflated(chain([head], chunks), _DECODERS[method])
    return cast(BinaryIO, io.BufferedReader(raw, CHUNK))


def compression_of(head: bytes) -> Literal["gzip", "bzip2", "xz", "zstd", ""]:
    """How a stream is compressed that begins with these bytes (`HEAD` of them are enough); empty for a plain one."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh"):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    # A frame, or one to be skipped, as lazily pulled layers begin with.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return "zstd"
    return ""


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


_DECODERS = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd}
