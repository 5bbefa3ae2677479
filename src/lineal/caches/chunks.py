"""Where large files are cut: at places that their own content gives (FastCDC), so that a change moves few of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import BinaryIO, cast

from lineal.errors import BadConfiguration
from lineal.tar.compression import ChunkStream

LEAST, USUAL, MOST = 256 << 10, 1 << 20, 4 << 20
"""Bytes of a chunk. A file of up to the usual size is one."""


def check_installed() -> None:
    """Raises `BadConfiguration` where the package that cuts files is not installed."""
    if find_spec("pyfastcdc") is None:
        raise BadConfiguration(
            "`caches.persist` needs the package pyfastcdc, which is not installed.",
            id="LN-1057",
            remedy="Install Lineal with its extra `caches`, or use its image.",
        )


def cut(content: Iterable[bytes], size: int) -> Iterator[memoryview | bytes]:
    """The chunks of a file of so many bytes; none of an empty one."""
    if size <= USUAL:
        whole = b"".join(content)
        if whole:
            yield whole
        return
    from pyfastcdc import FastCDC

    cutter = FastCDC(avg_size=USUAL, min_size=LEAST, max_size=MOST)
    for chunk in cutter.cut_stream(cast(BinaryIO, ChunkStream(iter(content)))):
        yield chunk.data
