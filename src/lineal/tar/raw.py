"""Entries taken over from a tar that an engine sent, byte for byte but for what is changed on purpose, and small tars
for an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

from lineal.errors import Unreachable
from lineal.tar.header import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    MAX_OCTAL,
    MAX_SIZE,
    NAME,
    SYMLINK,
    Malformed,
    encode_records,
    fits,
    number,
    padding,
    split_name,
    ustar,
    with_checksum,
)
from lineal.tar.reader import Header, HeaderReader


@dataclass(slots=True)
class Entry:
    """One entry: its name without leading `./` or trailing `/` ("" is the root), and its header block as it came."""

    name: bytes
    kind: bytes
    link: bytes
    size: int
    mode: int
    header: bytes
    records: dict[bytes, bytes] = field(default_factory=dict)
    """PAX records except path and linkpath."""
    is_whiteout_device: bool = False
    """Overlay's own mark of a deleted path: a character device 0/0."""

    def own(self, mode: int, uid: int, gid: int) -> None:
        """Give it this mode and owner."""
        self.mode = mode
        block = bytearray(self.header)
        for start, owner, key in ((108, uid, b"uid"), (116, gid, b"gid")):
            self.records.pop(key, None)
            block[start : start + 8] = b"%07o\0" % _number(key, owner, MAX_OCTAL, self.records)
        self.header = bytes(block)

    def date(self, latest: int) -> None:
        """Give it no time that is later than this, in seconds since 1970."""
        block = bytearray(self.header)
        if number(self.header[136:148]) > latest:
            block[136:148] = b"%011o\0" % latest
        self.header = bytes(block)
        for key in (b"mtime", b"atime", b"ctime"):
            if key in self.records and _is_later(self.records[key], latest):
                self.records[key] = b"%d" % latest

    def encode(self) -> bytes:
        """The header, with its PAX header before it if the names need one.

        User and group names go: they are the engine host's, and tools that believe them would change owners."""
        records = dict(self.records)
        prefix, name, link = _names(self.name, self.kind, self.link, records)
        block = bytearray(self.header)
        block[0:100] = name.ljust(100, b"\0")
        block[100:108] = b"%07o\0" % self.mode
        block[156:157] = self.kind
        block[157:257] = link.ljust(100, b"\0")
        block[257:265] = b"ustar\x0000"
        block[265:329] = bytes(64)
        block[345:500] = prefix.ljust(155, b"\0")
        return _pax(records) + with_checksum(bytes(block))


def header(
    name: bytes,
    kind: bytes = FILE,
    *,
    size: int = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    more: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """The header of an entry of one's own, with `more` PAX records."""
    records = dict(more or {})
    prefix, name, link = _names(name, kind, link, records)
    size = _number(b"size", size, MAX_SIZE, records)
    uid, gid = _number(b"uid", uid, MAX_OCTAL, records), _number(b"gid", gid, MAX_OCTAL, records)
    return _pax(records) + ustar(prefix, name, kind, mode, uid, gid, size, mtime, link)


def _number(key: bytes, value: int, most: int, records: dict[bytes, bytes]) -> int:
    """What stands in the field of a header; what is too large for it goes into `records`."""
    if value <= most:
        return value
    records[key] = b"%d" % value
    return 0


def _names(name: bytes, kind: bytes, link: bytes, records: dict[bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    """What stands in the fields of a header: prefix, name and link. What does not fit goes into `records`."""
    path = name + b"/" if kind == DIRECTORY else name
    split = split_name(path)
    if split is None:
        records[b"path"] = path
        split = b"", _stand_in(path)
    link = link if kind in (HARDLINK, SYMLINK) else b""
    if not fits(link):
        records[b"linkpath"] = link
        link = _stand_in(link)
    return *split, link


def file(name: bytes, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, mtime: int = 0) -> bytes:
    """A regular file: header, content, padding."""
    head = header(name, size=len(content), mode=mode, uid=uid, gid=gid, mtime=mtime)
    return head + content + padding(len(content))


def read(stream: BinaryIO) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Entries with their contents; a content not read to its end is skipped.

    Raises `Unreachable` for a stream that is cut short or no tar."""
    headers = HeaderReader(stream, complete=True)
    with _refusing():
        for found in headers:
            yield _entry(found), _refusing_in(headers.content())


def _entry(found: Header) -> Entry:
    _ = found.kind  # refuses what is not known
    block = found.block
    dropped = (b"path", b"linkpath", b"uname", b"gname")
    records = {key: value for key, value in found.records.items() if key not in dropped}
    link = _clean(found.link) if found.flag == HARDLINK else found.link
    mode = number(block[100:108]) & 0o7777
    whiteout = found.flag == CHARACTER and not number(block[329:337]) and not number(block[337:345])
    return Entry(_clean(found.name), found.flag, link, found.size, mode, block, records, whiteout)


def _is_later(text: bytes, latest: int) -> bool:
    """Also what is no number."""
    try:
        return not float(text) <= latest
    except ValueError:
        return True


def _clean(name: bytes) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Malformed("an entry's name leaves its root")
    return b"/".join(parts)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Malformed as error:
        raise Unreachable(
            f"The engine sent an archive that cannot be read: {error}.", id="LN-5003", remedy="Run again."
        ) from error


def _refusing_in(chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _refusing():
        yield from chunks


def _pax(records: dict[bytes, bytes]) -> bytes:
    if not records:
        return b""
    body = encode_records(records)
    return _pax_header(len(body)) + body + padding(len(body))


@lru_cache(64)
def _pax_header(size: int) -> bytes:
    return ustar(b"", b"PaxHeaders.0/x", b"x", 0o644, 0, 0, size, 0, device=None)


def _stand_in(name: bytes) -> bytes:
    """The end of a name, for readers that do not know PAX."""
    return bytes(byte if byte < 0x80 else 0x5F for byte in name[-NAME:])
