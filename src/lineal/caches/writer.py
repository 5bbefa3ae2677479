"""A tar of what a cache holds as a snapshot: contents that the store has already are named, the others are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from lineal.caches.chunks import cut
from lineal.caches.packs import ChunkReader, PackReader, PackWriter
from lineal.caches.snapshot import LATEST, Chunk, Entry, Kind, Pack, Snapshot, sha256
from lineal.caches.times import is_restored
from lineal.engine import SAME
from lineal.engine.secret_parts import SecretSearch
from lineal.errors import BuildFailed
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, FILE, HARDLINK, SYMLINK, decimal, fraction, number

_KINDS: dict[bytes, Kind] = {
    DIRECTORY: "directory", FILE: "file", b"7": "file", HARDLINK: "hardlink", SYMLINK: "symlink",
}  # fmt: skip
_SECOND = 10**9
_LIVE = 0.5
"""The share of a pack that must be in use: of one with less, what is used is packed anew."""
_FEW, _SMALL = 8, 1 << 20
"""Packs that may be smaller than this (bytes, unpacked)."""


@dataclass
class SnapshotWriter:
    """Makes the snapshots of one cache in one run. What `known` has need not be sent again."""

    known: Snapshot
    source: PackReader | None
    """The packs of `known`, None without any."""
    packs: PackWriter
    limit: int
    """Bytes of all files at most: the oldest leave first."""
    secrets: set[bytes] = field(default_factory=set)
    """What must be in no file."""
    left_out: int = 0
    """Files of the last snapshot that had no room."""

    def __post_init__(self) -> None:
        self._chunks: list[Chunk] = list(self.known.chunks)
        self._numbers = {chunk.sha256: number for number, chunk in enumerate(self._chunks)}
        self._began = {entry.path: entry for entry in self.known.entries}

    def take(self, tar: BinaryIO) -> Snapshot:
        """What the tar holds; its packs may still be on their way, and have no digests yet (`finish`).

        Raises `BuildFailed` when a secret is in it, and what the tar and `PackWriter.packs` raise."""
        search = SecretSearch(tuple(self.secrets))
        found: dict[bytes, Entry] = {}
        for entry, body in raw.read(tar):
            if not entry.name and SAME in entry.records:
                found |= self._unchanged(b"".join(body), search)
                continue
            made = self._entry(entry, body, search) if entry.name and entry.kind in _KINDS else None
            if made is not None:
                found[made.path] = made
        return Snapshot(tuple(self._affordable(_whole(found))), tuple(self._chunks), self.known.packs)

    def finish(self, snapshot: Snapshot) -> Snapshot:
        """The same with all its packs in the store, and without what it does not need. Raises what `take` raises."""
        self._chunks = list(snapshot.chunks)
        self._renew(snapshot)
        return _compact(snapshot.entries, self._chunks, [*self.known.packs, *self.packs.packs()])

    # --- files ---

    def _entry(self, entry: raw.Entry, body: Iterator[bytes], search: SecretSearch) -> Entry | None:
        """None for a file that is said to be the same as one that is not known."""
        _check_names(entry, search)
        if SAME in entry.records:
            return self._began.get(entry.name)
        chunks: tuple[int, ...] = ()
        if entry.kind in (FILE, b"7"):
            watched = search.watched(body, entry.size, lambda: _secret_in(entry.name))
            chunks = tuple(self._chunk(data) for data in cut(watched, entry.size))
        link = entry.link if entry.kind in (HARDLINK, SYMLINK) else b""
        uid, gid = (_owner(entry, start, key) for start, key in ((108, b"uid"), (116, b"gid")))
        mtime = self._time(entry.name, _mtime(entry))
        return Entry(entry.name, _KINDS[entry.kind], entry.mode, uid, gid, mtime, link, chunks)

    def _unchanged(self, names: bytes, search: SecretSearch) -> dict[bytes, Entry]:
        _check_names(raw.Entry(names.replace(b"\0", b"/"), FILE, b"", 0, 0, b""), search)
        return {name: self._began[name] for name in names.split(b"\0") if name in self._began}

    def _time(self, path: bytes, mtime: int) -> int:
        """Of a file that still has the time with which it was restored, the one that it had before."""
        began = self._began.get(path)
        return began.mtime if began is not None and is_restored(mtime, began) else mtime

    def _chunk(self, data: bytes | memoryview) -> int:
        digest = sha256(data)
        known = self._numbers.get(digest)
        return known if known is not None else self._pack(digest, data)

    def _pack(self, digest: bytes, data: bytes | memoryview) -> int:
        pack, offset = self.packs.add(data)
        self._numbers[digest] = len(self._chunks)
        self._chunks.append(Chunk(digest, len(self.known.packs) + pack, offset, len(data)))
        return self._numbers[digest]

    def _affordable(self, entries: list[Entry]) -> list[Entry]:
        sizes = {entry.path: sum(self._chunks[one].size for one in entry.chunks) for entry in entries if entry.chunks}
        over = sum(sizes.values()) - self.limit
        gone: set[bytes] = set()
        by_age = sorted((entry.mtime, entry.path) for entry in entries if entry.path in sizes) if over > 0 else []
        for _, path in by_age:
            if over <= 0:
                break
            gone.add(path)
            over -= sizes[path]
        self.left_out = len(gone)
        return [entry for entry in entries if entry.path not in gone and entry.link not in gone]

    # --- packs ---

    def _renew(self, snapshot: Snapshot) -> None:
        """Pack anew what is used of known packs of which little is used, or that are small and many."""
        used = {place for entry in snapshot.entries for place in entry.chunks}
        live = [0] * len(self.known.packs)
        for place in used:
            chunk = self._chunks[place]
            if chunk.pack < len(live):
                live[chunk.pack] += chunk.size
        small = {place for place, pack in enumerate(self.known.packs) if pack.unpacked < _SMALL and live[place]}
        weak = {
            place for place, pack in enumerate(self.known.packs) if 0 < live[place] < pack.unpacked * _LIVE
        } | (small if len(small) > _FEW else set())  # fmt: skip
        if not weak:
            return
        assert self.source is not None
        reader = ChunkReader(self.source)
        for place in sorted(used):
            chunk = self._chunks[place]
            if chunk.pack in weak:
                pack, offset = self.packs.add(reader.content(chunk))
                self._chunks[place] = Chunk(chunk.sha256, len(self.known.packs) + pack, offset, chunk.size)


def _compact(entries: Iterable[Entry], chunks: list[Chunk], packs: list[Pack]) -> Snapshot:
    """Without chunks and packs that nothing needs; both in the order in which they are read."""
    entries = list(entries)
    used = sorted(
        {number for entry in entries for number in entry.chunks},
        key=lambda number: (chunks[number].pack, chunks[number].offset),
    )
    numbers = {number: place for place, number in enumerate(used)}
    places = {pack: place for place, pack in enumerate(dict.fromkeys(chunks[number].pack for number in used))}
    return Snapshot(
        tuple(
            Entry(
                one.path, one.kind, one.mode, one.uid, one.gid, one.mtime, one.link,
                tuple(numbers[chunk] for chunk in one.chunks),
            )
            for one in entries
        ),
        tuple(
            Chunk(chunk.sha256, places[chunk.pack], chunk.offset, chunk.size)
            for chunk in (chunks[number] for number in used)
        ),
        tuple(packs[number] for number in places),
    )  # fmt: skip


def _whole(found: dict[bytes, Entry]) -> list[Entry]:
    """In the order of their names, each below directories that are there, and links to files that are."""
    kept: dict[bytes, Entry] = {}
    for path in sorted(found, key=lambda name: name.split(b"/")):
        above = path.rpartition(b"/")[0]
        if not above or (above in kept and kept[above].kind == "directory"):
            kept[path] = found[path]
    links = [entry for entry in kept.values() if entry.kind == "hardlink"]
    for entry in links:
        target = kept.get(entry.link)
        if target is None or target.kind != "file":
            del kept[entry.path]
    # A hard link stands behind its file.
    return sorted(kept.values(), key=lambda entry: entry.kind == "hardlink")


def _check_names(entry: raw.Entry, search: SecretSearch) -> None:
    if search.in_names(entry):
        raise BuildFailed(
            "The command left a secret in a name or a link of a cache mount, which would be kept.",
            id="LN-5009", remedy="Delete the file in the same RUN, or keep it in a tmpfs mount.",
        )  # fmt: skip


def _owner(entry: raw.Entry, start: int, key: bytes) -> int:
    if key in entry.records:
        return int(entry.records[key])
    return number(entry.header[start : start + 8])


def _mtime(entry: raw.Entry) -> int:
    """In nanoseconds; what no file of today can have becomes what one can."""
    seconds = decimal(entry.records, "mtime", number(entry.header[136:148]))
    rest = fraction(entry.records.get(b"mtime", b""))
    return min(max(seconds * _SECOND + rest, 0), LATEST - 1)


def _secret_in(name: bytes) -> BuildFailed:
    return BuildFailed(
        f"The command left a secret in /{name.decode('utf-8', 'replace')} of a cache mount, which would be kept.",
        id="LN-5009",
        remedy="Delete the file in the same RUN, or keep it in a tmpfs mount.",
    )
