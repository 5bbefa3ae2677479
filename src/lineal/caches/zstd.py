"""zstd, wherever this Python has it, for small blocks in memory."""

from __future__ import annotations

import sys
from typing import Any

LEVEL = 3


def _library() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def compress(data: bytes | bytearray | memoryview) -> bytes:
    packed: bytes = _library().compress(data, LEVEL)
    return packed


def decompress(data: bytes, limit: int) -> bytes:
    """At most `limit` bytes. Raises ValueError for more, and for what is no whole frame."""
    library = _library()
    decoder = library.ZstdDecompressor(options={library.DecompressionParameter.window_log_max: 27})
    try:
        found: bytes = decoder.decompress(data, limit + 1)
    except library.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(found) > limit or not decoder.eof:
        raise ValueError("too much data, or not all of it")
    return found
