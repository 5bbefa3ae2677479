"""A snapshot: the files that a cache held, and in which packs of the store their contents are.

A file is a list of chunks. A pack is a blob with chunks after each other, compressed as one zstd frame. Restoring
reads each pack once, in order; so files are given in the order of their first chunk, not of their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from lineal.engine import BrokenCache
from lineal.oci.types import Descriptor
from lineal.oci.verify import is_digest
from lineal.tar import zstd
from lineal.tar.reader import MAX_NAME, MAX_PATH

INDEX = "application/vnd.dev.lineal.cache.v1+msgpack+zstd"
"""The media type of the index of a snapshot, by which another format is known ..."""
PACK = "application/vnd.dev.lineal.cache.pack.v1+zstd"
"""... and that of a pack."""
CONFIG = "application/vnd.dev.lineal.cache.config.v1+json"
MAX_INDEX = 256 << 20
"""Bytes of an index, unpacked."""
MAX_PACK = 64 << 20
"""Bytes of a pack, unpacked. Lineal makes smaller ones (`packs.FULL`)."""
MAX_FILES = 4_000_000
LATEST = (1 << 33) * 10**9
"""No file's time is as late as this, in nanoseconds."""

Kind = Literal["directory", "file", "symlink", "hardlink"]


class Broken(BrokenCache):
    """A snapshot that cannot be used; the text says why, for people."""


class Chunk(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a file. `sha256` is of its bytes; they stand in pack number `pack`, from byte `offset` on."""

    sha256: bytes
    pack: int
    offset: int
    size: int


class Pack(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A blob: its digest and size as stored, and the bytes that it is when it is unpacked."""

    digest: str
    size: int
    unpacked: int


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file. `path` has no leading slash; `mtime` is in nanoseconds since 1970; `chunks` are numbers."""

    path: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    link: bytes = b""
    """The target of a symbolic link as it is written; of a hard link the path of an entry."""
    chunks: tuple[int, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    entries: tuple[Entry, ...]
    chunks: tuple[Chunk, ...]
    packs: tuple[Pack, ...]

    @property
    def size(self) -> int:
        """Bytes of all files, one with several names counted once."""
        return sum(self.size_of(entry) for entry in self.entries)

    @property
    def stored(self) -> int:
        """Bytes in the store, the index not counted."""
        return sum(pack.size for pack in self.packs)

    def size_of(self, entry: Entry) -> int:
        return sum(self.chunks[number].size for number in entry.chunks)

    def encode(self) -> bytes:
        return zstd.compress(msgspec.msgpack.encode(self))

    @staticmethod
    def decode(data: bytes) -> Snapshot:
        """Raises `Broken` for anything that Lineal does not write."""
        try:
            found = msgspec.msgpack.decode(zstd.decompress(data, MAX_INDEX), type=Snapshot)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise Broken("its index cannot be read") from error
        _check(found)
        return found

    def same_files(self, other: Snapshot) -> bool:
        """Whether both hold the same; times within a day count as equal, for tools that only note that they used a
        file."""
        theirs = {entry.path: entry for entry in other.entries}
        # Where their chunks have the same numbers, an entry that is the same says the same.
        alike = self.chunks == other.chunks[: len(self.chunks)]
        return len(self.entries) == len(theirs) and all(
            (found := theirs.get(entry.path)) is not None
            and ((alike and entry is found) or self._comparable(entry) == other._comparable(found))
            for entry in self.entries
        )

    def _comparable(self, entry: Entry) -> tuple[object, ...]:
        return (
            entry.kind, entry.mode, entry.uid, entry.gid, entry.link,
            entry.mtime // _DAY if entry.kind == "file" else 0,
            *(self.chunks[number].sha256 for number in entry.chunks),
        )  # fmt: skip


_DAY = 86_400 * 10**9
NOTHING = Snapshot((), (), ())


def descriptor(pack: Pack) -> Descriptor:
    return Descriptor(PACK, pack.digest, pack.size)


def sha256(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()


def _check(found: Snapshot) -> None:
    """Everything in it is as hostile as whoever may push."""
    if len(found.entries) > MAX_FILES:
        raise Broken("it has too many files")
    for pack in found.packs:
        if not is_digest(pack.digest) or pack.size < 0 or not 0 <= pack.unpacked <= MAX_PACK:
            raise Broken("it names a pack that is none")
    for chunk in found.chunks:
        if not 0 <= chunk.pack < len(found.packs) or len(chunk.sha256) != 32:
            raise Broken("it has a chunk of no pack")
        if chunk.offset < 0 or chunk.size < 0 or chunk.offset + chunk.size > found.packs[chunk.pack].unpacked:
            raise Broken("it has a chunk outside of its pack")
    _check_entries(found.entries, len(found.chunks))


def _check_entries(entries: Iterable[Entry], chunks: int) -> None:
    kinds: dict[bytes, Kind] = {}
    for entry in entries:
        if entry.path in kinds or not _is_path(entry.path):
            raise Broken("it has a file with a name that cannot be")
        above = entry.path.rpartition(b"/")[0]
        if above and kinds.get(above) != "directory":
            raise Broken("it has a file in no directory")
        if entry.kind == "hardlink" and kinds.get(entry.link) != "file":
            raise Broken("it has a hard link to nothing")
        if entry.kind == "symlink" and not 0 < len(entry.link) <= MAX_PATH:
            raise Broken("it has a link that cannot be")
        if entry.chunks and (entry.kind != "file" or not all(0 <= number < chunks for number in entry.chunks)):
            raise Broken("it has a file without content")
        if not (0 <= entry.mode <= 0o7777 and 0 <= entry.uid < _OWNERS and 0 <= entry.gid < _OWNERS):
            raise Broken("it has a file of nobody")
        if not 0 <= entry.mtime < LATEST:
            raise Broken("it has a file of no time")
        kinds[entry.path] = entry.kind


_OWNERS = (1 << 32) - 1


def _is_path(path: bytes) -> bool:
    parts = path.split(b"/")
    return (
        len(path) <= MAX_PATH
        and b"\0" not in path
        and all(part not in (b"", b".", b"..") and len(part) <= MAX_NAME for part in parts)
    )
