"""A snapshot as what an engine fills a cache with: a tar, or its packs as they are stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from lineal.caches.packs import ChunkReader, PackReader
from lineal.caches.snapshot import Chunk, Entry, Snapshot
from lineal.caches.times import restored
from lineal.engine.frames import Frame, Head, Node, Part, encode
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


def frames_of(snapshot: Snapshot, packs: PackReader) -> Iterator[bytes]:
    """The stream of `lineal.engine.frames`, with the same times. Raises as `tar_of`."""
    frames, scattered = _places(snapshot)
    used = [number for number, parts in enumerate(frames) if parts]
    yield from encode(_head(snapshot, scattered, len(used)))
    for number in used:
        parts = sorted(frames[number], key=lambda part: part[0])
        yield from encode(Frame(snapshot.packs[number].unpacked, parts), packs.packed(number))


def _head(snapshot: Snapshot, scattered: Sequence[Node], frames: int) -> Head:
    return Head(
        [_node(entry) for entry in snapshot.entries if entry.kind == "directory"],
        scattered,
        [(entry.path, entry.link) for entry in snapshot.entries if entry.kind == "hardlink"],
        [(_node(entry), entry.link) for entry in snapshot.entries if entry.kind == "symlink"],
        frames,
    )


def _places(snapshot: Snapshot) -> tuple[list[list[Part]], list[Node]]:
    """What stands in each pack, and the scattered files."""
    frames: list[list[Part]] = [[] for _ in snapshot.packs]
    scattered: list[Node] = []
    for entry in snapshot.entries:
        if entry.kind != "file":
            continue
        chunks = [snapshot.chunks[number] for number in entry.chunks]
        if chunks and _adjacent(chunks):
            size = sum(chunk.size for chunk in chunks)
            frames[chunks[0].pack].append((chunks[0].offset, size, _node(entry), 0))
            continue
        at = 0
        for chunk in chunks:
            frames[chunk.pack].append((chunk.offset, chunk.size, len(scattered), at))
            at += chunk.size
        scattered.append(_node(entry))
    return frames, scattered


def _adjacent(chunks: list[Chunk]) -> bool:
    """Whether they stand after each other in one pack."""
    return all(
        one.pack == other.pack and one.offset + one.size == other.offset for one, other in itertools.pairwise(chunks)
    )


def _node(entry: Entry) -> Node:
    return entry.path, entry.mode, entry.uid, entry.gid, restored(entry)
