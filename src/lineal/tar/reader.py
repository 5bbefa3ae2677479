"""Reading tars that others made: layers, archives to `ADD`, an engine's answers. Everything in them is hostile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from lineal.context.tree import clamp, owner_id
from lineal.tar.header import (
    BLOCK,
    DIRECTORY,
    FILE,
    MAX_OCTAL,
    Malformed,
    Unsupported,
    checksum,
    count,
    decimal,
    fraction,
    number,
    parse_records,
)
from lineal.text import printable

Kind = Literal["file", "directory", "symlink", "hardlink", "special"]

MAX_PATH, MAX_NAME = 4095, 255
"""Bytes that a path and a name in it can have on Linux (limits.h)."""
_CHUNK = 1 << 18
_MAX_EXTENSION = 1 << 20
"""Bytes of the extended headers of one entry, and of those for all; nothing real comes near."""
_MAX_XATTRS = 64 << 10
"""Bytes of all extended attributes of an entry; Linux has the limit for one (limits.h)."""
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "special",
    b"4": "special",
    b"5": "directory",
    b"6": "special",
}


@dataclass(slots=True)
class Header:
    """One entry's header block as it came, and what it and the extended headers before it say."""

    block: bytes
    flag: bytes
    """The kind of entry, `FILE` for what old tars leave empty."""
    name: bytes
    link: bytes
    size: int
    """Bytes of content; only files have any, whatever a header of another kind claims (as Go's reader sees it)."""
    records: dict[bytes, bytes]
    """PAX records."""

    @property
    def kind(self) -> Kind:
        """Raises `Unsupported` for a kind of entry that is not known."""
        kind = _KINDS.get(self.flag)
        if kind is None:
            raise Unsupported(f"it has an entry of unknown type {self.flag.decode('latin-1')!r}")
        return kind


class HeaderReader:
    """Iterates over the headers of an uncompressed tar; `content` gives the current file's bytes.

    When it is exhausted the stream has been read to its end, so that a digest behind it has been verified. With
    `complete`, an archive without its two empty blocks at the end counts as cut short. Raises `Malformed`."""

    def __init__(self, stream: BinaryIO, *, complete: bool = False) -> None:
        self._stream = stream
        self._complete = complete
        self._left = 0
        self._padding = 0
        self._defaults: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[Header]:
        records: dict[bytes, bytes] = {}
        held = ever = 0
        while (block := self._block()) is not None:
            flag = block[156:157].replace(b"\0", FILE)
            size = count(block[124:136], "size")
            if flag in b"xgLK":
                held, ever = (held, ever + size) if flag == b"g" else (held + size, ever)
                body = self._extension(size, max(held, ever))
                if flag == b"g":
                    self._defaults.update(parse_records(body))
                elif flag == b"x":
                    records.update(parse_records(body))
                else:
                    records[b"path" if flag == b"L" else b"linkpath"] = body.rstrip(b"\0")
                continue
            header = _header(block, flag, size, {**self._defaults, **records} if self._defaults else records)
            records, held = {}, 0
            self._left, self._padding = header.size, -header.size % BLOCK
            yield header
            self._skip()
        while self._stream.read(_CHUNK):
            pass

    def content(self) -> Iterator[bytes]:
        while self._left:
            data = self._stream.read(min(_CHUNK, self._left))
            if not data:
                raise Malformed("the tar ends in the middle of a file")
            self._left -= len(data)
            yield data

    def _skip(self) -> None:
        for _ in self.content():
            pass
        self._stream.read(self._padding)

    def _block(self) -> bytes | None:
        block = self._stream.read(BLOCK)
        if not block and self._complete:
            raise Malformed("the tar has no end")
        if not block or (block[0] == 0 and not block.strip(b"\0")):
            return None
        if len(block) < BLOCK:
            raise Malformed("the tar ends in the middle of a header")
        if checksum(block) != number(block[148:156]):
            raise Malformed("a tar header has a wrong checksum")
        return block

    def _extension(self, size: int, held: int) -> bytes:
        """The content of an extended header. `held` bytes of such headers, this one included, count for an entry."""
        if held > _MAX_EXTENSION:
            raise Malformed("a tar header is longer than 1 MiB")
        body = self._stream.read(size + -size % BLOCK)
        if len(body) < size:
            raise Malformed("the tar ends in the middle of a header")
        return body[:size]


def _header(block: bytes, flag: bytes, size: int, records: dict[bytes, bytes]) -> Header:
    name, link = block[:100].split(b"\0", 1)[0], block[157:257].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    if records:
        if any(key.startswith(b"GNU.sparse") for key in records):
            raise Unsupported("it has a sparse file, which is not supported")
        name, link = records.get(b"path", name), records.get(b"linkpath", link)
        size = decimal(records, "size", size)
    is_file = _KINDS.get(flag) == "file"
    if is_file and name.endswith(b"/"):
        is_file, flag = False, DIRECTORY
    return Header(block, flag, name, link, size if is_file else 0, records)


@dataclass(slots=True)
class Entry:
    """One entry. `path` has no leading slash and no `..` (clamped at the root); the root itself is `""`."""

    path: str
    kind: Kind
    flag: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: str = ""
    """As written for a symbolic link; a path like `path` for a hard link."""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, str] = field(default_factory=dict)
    nanoseconds: int = 0
    """What a PAX record adds to `mtime`."""


class TarReader:
    """Iterates over the entries of an uncompressed tar, with what they say checked; otherwise as `HeaderReader`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._headers = HeaderReader(stream)
        self.content = self._headers.content

    def __iter__(self) -> Iterator[Entry]:
        return map(_entry, self._headers)


def _entry(header: Header) -> Entry:
    block, records = header.block, header.records
    uid, gid, mtime = count(block[108:116], "uid"), count(block[116:124], "gid"), number(block[136:148])
    xattrs: dict[str, str] = {}
    if records:
        uid, gid = decimal(records, "uid", uid), decimal(records, "gid", gid)
        mtime = decimal(records, "mtime", mtime)
        names = [key for key in records if key.startswith(b"SCHILY.xattr.")]
        xattrs = {os.fsdecode(key): os.fsdecode(records[key]) for key in names}
        if sum(len(key) + len(records[key]) for key in names) > _MAX_XATTRS:
            path = printable(os.fsdecode(header.name), 60)
            raise Unsupported(f"/{path} has more than {_MAX_XATTRS >> 10} KiB of extended attributes")
    try:
        uid, gid = owner_id(uid), owner_id(gid)
    except ValueError as error:
        raise Unsupported(f"it has a wrong owner: {error}") from error
    kind, path, mode = header.kind, clamp(os.fsdecode(header.name)), number(block[100:108]) & 0o7777
    _check_length(path)
    entry = Entry(path, kind, header.flag, mode, uid, gid, header.size, mtime, xattrs=xattrs)
    if b"mtime" in records:
        entry.nanoseconds = fraction(records[b"mtime"])
    if kind == "symlink":
        if not header.link:
            raise Malformed(f"/{printable(path, 60)} is a link to nothing")
        entry.target = os.fsdecode(header.link)
        if len(header.link) > MAX_PATH:
            raise Unsupported(
                f"/{printable(path, 60)} is a link to {len(header.link)} bytes; the limit is {MAX_PATH}"
            )
    elif kind == "hardlink":
        entry.target = clamp(os.fsdecode(header.link))
        _check_length(entry.target)
    elif kind == "special":
        entry.device = (count(block[329:337], "device"), count(block[337:345], "device"))
        if max(entry.device) > MAX_OCTAL:
            raise Malformed("a tar header has a wrong device")
    return entry


def too_long(path: str) -> str:
    """What Linux refuses in a path, as the end of a sentence; empty for a path that it takes."""
    if len(path) < MAX_NAME // 4:  # a letter has four bytes at most
        return ""
    data = os.fsencode(path)
    longest = max(map(len, data.split(b"/")))
    if longest > MAX_NAME:
        return f"has a name of {longest} bytes in it; the limit is {MAX_NAME}"
    if len(data) > MAX_PATH:
        return f"is a path of {len(data)} bytes; the limit is {MAX_PATH}"
    return ""


def _check_length(path: str) -> None:
    if reason := too_long(path):
        raise Unsupported(f"/{printable(path, 60)} {reason}")
