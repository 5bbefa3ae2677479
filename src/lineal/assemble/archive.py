"""`ADD` of local archives: what is one, and its entries put onto a destination as the engine unpacks them."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from lineal.assemble.layer_builder import LayerBuilder, LayerEntry
from lineal.errors import BuildFailed
from lineal.tar.reader import Entry, Inflated, Malformed, Plain, TarReader, Unsupported, buffered, zstd
from lineal.tar.spool import Spool

_ZSTD = b"\x28\xb5\x2f\xfd"


class _Bzip2:
    """bz2's decompressor keeps its unused input itself; so does lzma's."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def decompress(self, data: bytes, size: int) -> bytes:
        unpacked: bytes = self._decoder.decompress(data, size)
        return unpacked

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data)

    @property
    def needs_input(self) -> bool:
        return bool(self._decoder.needs_input)


def is_archive(content: Iterator[bytes]) -> bool:
    """Whether a file is a tar (plain, gzip, bzip2, xz or zstd) with at least one entry; reads only its beginning."""
    try:
        return next(iter(TarReader(_open(content))), None) is not None
    except Unsupported:
        return True
    except Malformed:
        return False


def extract(
    content: Iterator[bytes],
    name: str,
    destination: LayerBuilder,
    below: str,
    spool: Spool,
    owner: tuple[int, int] | None = None,
) -> None:
    """Unpack into the directory `below` (resolved, existing): modes, times and, unless there is an `owner`, numeric
    owners are the archive's.

    Names are clamped to `below`, links in them are followed inside it. Contents go through `spool`.
    Raises `BuildFailed` for an archive that is broken or not supported."""
    reader = TarReader(_open(content))
    try:
        for entry in reader:
            if owner is not None:
                entry.uid, entry.gid = owner
            _put(entry, reader, destination, below, spool)
    except Malformed as error:
        raise BuildFailed(f"The archive {name} cannot be unpacked: {error}.") from error


def _put(entry: Entry, reader: TarReader, destination: LayerBuilder, below: str, spool: Spool) -> None:
    path = destination.resolve(entry.path, last=False, root=below)
    if path == below:
        return  # "./": the directory to unpack into is the user's
    destination.make_directories(path.rpartition("/")[0], 0o755, (0, 0))
    staged = LayerEntry(entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, xattrs=entry.xattrs)
    if entry.kind == "hardlink":
        staged = _linked(entry, destination, below)
    elif entry.kind == "file":
        offset = spool.add(reader.content())
        staged.size = entry.size
        staged.content = partial(spool.read, offset, entry.size)
    elif entry.kind == "symlink":
        staged.target = entry.target
    elif entry.kind == "special":
        staged.flag, staged.device = entry.flag, entry.device
    if entry.kind == "directory":
        if not destination.is_directory(path):
            destination.remove(path)
        destination.directory(path, staged)
    else:
        destination.remove(path)
        destination.put(path, staged)


def _linked(entry: Entry, destination: LayerBuilder, below: str) -> LayerEntry:
    staged = destination.staged(destination.resolve(entry.target, last=False, root=below))
    if staged is None or staged.kind == "directory":
        raise Malformed(
            f"{entry.path} is a hard link to {entry.target}, which is not a file before it in the archive"
        )
    return staged


def _open(content: Iterator[bytes]) -> BinaryIO:
    head = b""
    for chunk in content:
        head += chunk
        if len(head) >= 6:
            break
    chunks = chain([head], content)
    if head.startswith(b"\x1f\x8b"):
        return buffered(Inflated(chunks))
    if head.startswith(b"BZh"):
        return buffered(Inflated(chunks, lambda: _Bzip2(bz2.BZ2Decompressor())))
    if head.startswith(b"\xfd7zXZ\0"):
        return buffered(Inflated(chunks, lambda: _Bzip2(lzma.LZMADecompressor(memlimit=256 << 20))))
    if head.startswith(_ZSTD):
        return buffered(Inflated(chunks, zstd))
    return buffered(Plain(chunks))
