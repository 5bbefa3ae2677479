"""Reading tars that others made: image layers and archives to `ADD`. Everything in them is treated as hostile."""

from __future__ import annotations

import io
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

from lineal.context.tree import clamp, owner_id
from lineal.errors import Unreachable

Kind = Literal["file", "directory", "symlink", "hardlink", "special"]

_BLOCK = 512
_CHUNK = 1 << 18
_MAX_EXTENSION = 1 << 20
_MAX_DEVICE = 0o7777777
MAX_DEPTH = 200
"""Directories in a path. Nobody nests as deep, and what walks a tree may then call itself."""
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "special",
    b"4": "special",
    b"5": "directory",
    b"6": "special",
}


class Malformed(Exception):
    """The stream is no tar, or one that breaks its own rules."""


class Unsupported(Malformed):
    """A tar with something in it that Lineal does not read."""


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


class TarReader:
    """Iterates over the entries of an uncompressed tar; `content` gives the current file's bytes.

    When it is exhausted the stream has been read to its end, so that a digest behind it has been verified.
    Raises `Malformed`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0
        self._defaults: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        records: dict[str, bytes] = {}
        while (block := self._header()) is not None:
            flag = block[156:157]
            size = _count(block[124:136], "size")
            if flag in b"xgLK":
                body = self._extension(size)
                if flag == b"g":
                    self._defaults.update(_records(body))
                elif flag == b"x":
                    records.update(_records(body))
                else:
                    records["path" if flag == b"L" else "linkpath"] = body.rstrip(b"\0")
                continue
            entry = _entry(block, size, {**self._defaults, **records} if self._defaults else records)
            records = {}
            # Only files have content, whatever a header of another kind claims (as Go's reader sees it).
            self._left = entry.size if entry.kind == "file" else 0
            self._padding = -self._left % _BLOCK
            yield entry
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

    def _header(self) -> bytes | None:
        block = self._stream.read(_BLOCK)
        if not block or (block[0] == 0 and not block.strip(b"\0")):
            return None
        if len(block) < _BLOCK:
            raise Malformed("the tar ends in the middle of a header")
        check = _number(block[148:156])
        if sum(block) - sum(block[148:156]) + 256 != check:
            raise Malformed("a tar header has a wrong checksum")
        return block

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise Malformed("a tar header is longer than 1 MiB")
        body = self._stream.read(size + -size % _BLOCK)
        if len(body) < size:
            raise Malformed("the tar ends in the middle of a header")
        return body[:size]


def _entry(block: bytes, size: int, records: dict[str, bytes]) -> Entry:
    flag = block[156:157]
    name, link = block[:100].split(b"\0", 1)[0], block[157:257].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    if prefix:
        name = prefix + b"/" + name
    uid, gid, mtime = _count(block[108:116], "uid"), _count(block[116:124], "gid"), _number(block[136:148])
    xattrs: dict[str, str] = {}
    if records:
        if any(key.startswith("GNU.sparse") for key in records):
            raise Unsupported("it has a sparse file, which is not supported")
        name, link = records.get("path", name), records.get("linkpath", link)
        size, uid, gid = (_decimal(records, *item) for item in (("size", size), ("uid", uid), ("gid", gid)))
        mtime = _decimal(records, "mtime", mtime)
        xattrs = {key: os.fsdecode(value) for key, value in records.items() if key.startswith("SCHILY.xattr.")}
    try:
        uid, gid = owner_id(uid), owner_id(gid)
    except ValueError as error:
        raise Unsupported(f"it has a wrong owner: {error}") from error
    if name.count(b"/") > MAX_DEPTH or link.count(b"/") > MAX_DEPTH:
        raise Unsupported("it has a path that is too deep")
    kind = _KINDS.get(flag)
    if kind is None:
        raise Unsupported(f"it has an entry of unknown type {flag.decode('latin-1')!r}")
    if kind == "file" and name.endswith(b"/"):
        kind = "directory"
    entry = Entry(clamp(os.fsdecode(name)), kind, flag, _number(block[100:108]) & 0o7777, uid, gid, size, mtime)
    entry.xattrs = xattrs
    if kind == "symlink":
        entry.target = os.fsdecode(link)
    elif kind == "hardlink":
        entry.target = clamp(os.fsdecode(link))
    elif kind == "special":
        entry.device = (_count(block[329:337], "device"), _count(block[337:345], "device"))
        if max(entry.device) > _MAX_DEVICE:
            raise Malformed("a tar header has a wrong device")
    return entry


def _count(field: bytes, what: str) -> int:
    number = _number(field)
    if number < 0:
        raise Malformed(f"a tar header has a wrong {what}")
    return number


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ((1 << (len(field) * 8 - 1)) - 1)
        return value - (1 << (len(field) * 8 - 2)) * 2 if field[0] == 0xFF else value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError as error:
        raise Malformed("a tar header has a wrong number") from error


def _decimal(records: dict[str, bytes], key: str, default: int) -> int:
    text = records.get(key)
    if not text:
        return default
    try:
        value = int(text.split(b".", 1)[0] or b"0")
    except ValueError as error:
        raise Malformed(f"a tar header has a wrong {key}") from error
    if value < 0 and key != "mtime":
        raise Malformed(f"a tar header has a wrong {key}")
    return value


def _records(body: bytes) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    at = 0
    while at < len(body):
        length, _, _ = body[at : at + 20].partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(body) - at:
            raise Malformed("a tar header has a broken PAX record")
        key, equals, value = body[at + len(length) + 1 : at + int(length) - 1].partition(b"=")
        if not equals or (b"\0" in value and not key.startswith(b"SCHILY.xattr.")):
            raise Malformed("a tar header has a broken PAX record")
        records[os.fsdecode(key)] = value
        at += int(length)
    return records


def open_layer(chunks: Iterator[bytes], media_type: str) -> BinaryIO:
    """The uncompressed tar of a layer as a stream, in bounded memory.

    Raises `Unreachable` for a type that cannot be read, and `Malformed` while reading."""
    if media_type.endswith("gzip"):
        return buffered(Inflated(chunks))
    if media_type.endswith("zstd"):
        return buffered(Inflated(chunks, zstd))
    if media_type.endswith("tar"):
        return buffered(Plain(chunks))
    raise Unreachable(f"A layer of the type {media_type} cannot be read.")


def zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


def buffered(raw: io.RawIOBase) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(raw, _CHUNK))


class Plain(io.RawIOBase):
    """Chunks as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = self._next()
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes | None:
        return next(self._chunks, None)


def _gzip() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(31)
    return isal_zlib.decompressobj(31)


class Inflated(Plain):
    """Compressed chunks as an uncompressed stream, several members after each other included."""

    def __init__(self, chunks: Iterator[bytes], start: Any = _gzip) -> None:
        super().__init__(chunks)
        self._start = start
        self._decoder: Any = None
        self._input = b""

    def _next(self) -> bytes | None:
        while True:
            if not self._input and (self._decoder is None or getattr(self._decoder, "needs_input", True)):
                chunk = next(self._chunks, None)
                if chunk is None:
                    if self._decoder is not None:
                        raise Malformed("the compressed data ends too early")
                    return None
                self._input = chunk
            if self._decoder is None:
                self._input = self._input.lstrip(b"\0")  # padding between and after members
                if not self._input:
                    continue
                self._decoder = self._start()
            if data := self._decode():
                return data

    def _decode(self) -> bytes:
        decoder = self._decoder
        try:
            data: bytes = decoder.decompress(self._input, _CHUNK * 4)
        except Exception as error:
            # Every library has its own class for this; all of them mean the same.
            raise Malformed("the compressed data is broken") from error
        if decoder.eof:
            self._input = decoder.unused_data
            self._decoder = None
        else:
            self._input = getattr(decoder, "unconsumed_tail", b"")
        return data
