"""Entries of a tar stream: read from what an engine sends, written as the layers and archives it is given."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from lineal.errors import Unreachable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

BLOCK = 512
CHUNK = 1 << 20
FILE, HARDLINK, SYMLINK, CHARACTER, DIRECTORY = b"0", b"1", b"2", b"3", b"5"
_LINKS = (HARDLINK, b"2")
_META_LIMIT = 1 << 20
"""Bytes of extended headers per entry; nothing real comes near."""


@dataclass(slots=True)
class Entry:
    """One entry: its name without leading `./` or trailing `/` ("" is the root), and its header as it came."""

    name: bytes
    kind: bytes
    link: bytes
    size: int
    header: bytes
    records: dict[bytes, bytes] = field(default_factory=dict)
    """PAX records except path and linkpath."""

    @property
    def is_whiteout_device(self) -> bool:
        """Overlay's own mark of a deleted path: a character device 0/0."""
        return self.kind == CHARACTER and not _number(self.header[329:337]) and not _number(self.header[337:345])

    def own(self, mode: int, uid: int, gid: int) -> None:
        """Give it this mode and owner."""
        block = bytearray(self.header)
        block[100:108] = b"%07o\0" % mode
        for start, number, key in ((108, uid, b"uid"), (116, gid, b"gid")):
            self.records.pop(key, None)
            if number >= 8**7:
                self.records[key] = b"%d" % number
            block[start : start + 8] = b"%07o\0" % (number if number < 8**7 else 0)
        self.header = bytes(block)

    def encode(self) -> bytes:
        """The header, with its PAX header before it if the names need one.

        User and group names go: they are the engine host's, and tools that believe them would change owners."""
        records = dict(self.records)
        prefix, name = _split(self.name + b"/" if self.kind == DIRECTORY else self.name, records, b"path")
        link = _fit(self.link if self.kind in _LINKS else b"", 100, records, b"linkpath")
        header = bytearray(self.header)
        header[0:100] = name.ljust(100, b"\0")
        header[100:108] = b"%07o\0" % (_number(self.header[100:108]) & 0o7777)
        header[156:157] = self.kind
        header[157:257] = link.ljust(100, b"\0")
        header[257:265] = b"ustar\x0000"
        header[265:329] = bytes(64)
        header[345:500] = prefix.ljust(155, b"\0")
        return _pax(records) + _sealed(header)


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
) -> bytes:
    """The header of an entry of one's own."""
    block = bytearray(BLOCK)
    records = {b"size": b"%d" % size} if size >= 8**11 else {}
    block[124:136] = b"%011o\0" % (size if size < 8**11 else 0)
    block[136:148] = b"%011o\0" % mtime
    block[329:345] = b"0000000\0" * 2
    entry = Entry(name, kind, link, size, bytes(block), records)
    entry.own(mode, uid, gid)
    return entry.encode()


def padding(size: int) -> bytes:
    """What follows a content of `size` bytes."""
    return bytes(-size % BLOCK)


def file(name: bytes, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, mtime: int = 0) -> bytes:
    """A regular file: header, content, padding."""
    head = header(name, size=len(content), mode=mode, uid=uid, gid=gid, mtime=mtime)
    return head + content + padding(len(content))


END = bytes(2 * BLOCK)


def read(stream: BinaryIO) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Entries with their contents; a content not read to its end is skipped. Raises `Unreachable` when cut short."""
    records: dict[bytes, bytes] = {}
    while (block := _exactly(stream, BLOCK)) != bytes(BLOCK):
        kind = block[156:157].replace(b"\0", FILE)
        size = _number(block[124:136])
        if kind in b"xg":
            parsed = _records(_content(stream, size))
            records.update(parsed if kind == b"x" else {})
            continue
        if kind in b"LKS":
            raise Unreachable(f"The engine sent a tar entry of type {kind.decode()}, which is not supported.")
        entry = _entry(block, kind, size, records)
        records = {}
        body = _body(stream, entry.size if kind in b"07" else 0)
        yield entry, body
        for _ in body:
            pass
    while stream.read(CHUNK):
        pass


def _entry(block: bytes, kind: bytes, size: int, records: dict[bytes, bytes]) -> Entry:
    name, link = records.pop(b"path", None), records.pop(b"linkpath", None)
    if name is None:
        name = block[:100].split(b"\0", 1)[0]
        prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
        name = prefix + b"/" + name if prefix else name
    if link is None:
        link = block[157:257].split(b"\0", 1)[0]
    for dropped in (b"uname", b"gname"):
        records.pop(dropped, None)
    size = int(records.get(b"size", size))
    return Entry(_clean(name), kind, _clean(link) if kind == HARDLINK else link, size, block, records)


def _clean(name: bytes) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Unreachable("The engine sent a tar entry whose name leaves its root.")
    return b"/".join(parts)


def _body(stream: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = stream.read(min(left, CHUNK))
        if not chunk:
            raise Unreachable("The engine's answer ended in the middle of a file.")
        left -= len(chunk)
        yield chunk
    _exactly(stream, -size % BLOCK)


def _content(stream: BinaryIO, size: int) -> bytes:
    if size > _META_LIMIT:
        raise Unreachable("The engine sent an extended tar header that is too long.")
    content = _exactly(stream, size)
    _exactly(stream, -size % BLOCK)
    return content


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) != size:
        raise Unreachable("The engine's answer ended too early.")
    return data


def _number(digits: bytes) -> int:
    if digits[0] & 0x80:
        return int.from_bytes(bytes([digits[0] & 0x7F]) + digits[1:], "big")
    try:
        return int(digits.rstrip(b"\0 ").strip() or b"0", 8)
    except ValueError:
        raise Unreachable("The engine sent a tar header with a malformed number.") from None


def _records(content: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while content:
        try:
            length = int(content.split(b" ", 1)[0])
            key, value = content[:length].split(b" ", 1)[1].split(b"=", 1)
        except (ValueError, IndexError):
            raise Unreachable("The engine sent a malformed extended tar header.") from None
        found[key] = value[:-1]
        content = content[length:]
    return found


def _pax(records: dict[bytes, bytes]) -> bytes:
    if not records:
        return b""
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    block = bytearray(BLOCK)
    block[0:14] = b"PaxHeaders.0/x"
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136] = b"%011o\0" % len(content)
    block[136:148] = b"00000000000\0"
    block[156:157] = b"x"
    block[257:265] = b"ustar\x0000"
    return _sealed(block) + content + padding(len(content))


def _record(key: bytes, value: bytes) -> bytes:
    length = bare = len(key) + len(value) + 3
    while length != bare + len(str(length)):
        length = bare + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _sealed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _split(name: bytes, records: dict[bytes, bytes], key: bytes) -> tuple[bytes, bytes]:
    """A name as (prefix, name) fields, or as a PAX record."""
    if name.isascii() and len(name) > 100:
        cut = name.find(b"/", len(name) - 101, len(name) - 1)
        if 0 < cut <= 155:
            return name[:cut], name[cut + 1 :]
    return b"", _fit(name, 100, records, key)


def _fit(name: bytes, size: int, records: dict[bytes, bytes], key: bytes) -> bytes:
    if name.isascii() and len(name) <= size:
        return name
    records[key] = name
    return bytes(byte if byte < 0x80 else 0x5F for byte in name[-size:])


class Chunks(io.RawIOBase):
    """An iterator of byte chunks as a stream to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer)
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
