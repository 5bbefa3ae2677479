"""A snapshot as a tar: what an engine fills a cache with."""

from __future__ import annotations

from collections.abc import Iterator

from lineal.caches.packs import ChunkReader, PackReader
from lineal.caches.snapshot import Entry, Snapshot
from lineal.caches.times import restored
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, END, FILE, HARDLINK, SYMLINK, padding

_KINDS = {"directory": DIRECTORY, "file": FILE, "hardlink": HARDLINK, "symlink": SYMLINK}
_SECOND = 10**9


def tar_of(snapshot: Snapshot, packs: PackReader) -> Iterator[bytes]:
    """Directories first, then files in the order of the packs, then links: none leads anywhere while files are made.
    Their times are those of `restored`. Raises `Broken` and `Interrupted`, also in the middle."""
    directories = [entry for entry in snapshot.entries if entry.kind == "directory"]
    files = [entry for entry in snapshot.entries if entry.kind == "file"]
    links = [entry for entry in snapshot.entries if entry.kind in ("hardlink", "symlink")]
    files.sort(key=lambda entry: _place(snapshot, entry))
    chunks = ChunkReader(packs)
    for entry in directories:
        yield _header(entry, 0)
    for entry in files:
        size = snapshot.size_of(entry)
        yield _header(entry, size)
        for number in entry.chunks:
            yield chunks.content(snapshot.chunks[number])
        yield padding(size)
    for entry in links:
        yield _header(entry, 0)
    yield END


def _place(snapshot: Snapshot, entry: Entry) -> tuple[int, int]:
    """An empty file is anywhere."""
    if not entry.chunks:
        return -1, 0
    first = snapshot.chunks[entry.chunks[0]]
    return first.pack, first.offset


def _header(entry: Entry, size: int) -> bytes:
    seconds, rest = divmod(restored(entry), _SECOND)
    records = {b"mtime": b"%d.%09d" % (seconds, rest)} if rest else {}
    return raw.header(
        entry.path, _KINDS[entry.kind], size=size, mode=entry.mode, uid=entry.uid, gid=entry.gid, mtime=seconds,
        link=entry.link, more=records,
    )  # fmt: skip
