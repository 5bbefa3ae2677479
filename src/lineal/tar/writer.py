"""Deterministic layers: `TarWriter` knows the tar format, `LayerWriter` hashes, compresses and spools."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lineal.context.tree import MAX_ID, Node
from lineal.errors import BuildFailed, Unreachable
from lineal.oci.types import Layer

MTIME = 315619200
"""1980-01-02 UTC, the time of everything that has none of its own: zip tools refuse times before 1980, and the
second of January is still in 1980 in every time zone."""

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"

_BLOCK = 512
_BUFFER = 1 << 17
# No name, no time, "unknown" operating system: the ten bytes say nothing about the machine.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_MAX_OCTAL_ID = 0o7777777
_MAX_SIZE = 0o77777777777


def _compressor() -> tuple[Any, Callable[[bytes, int], int]]:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(1, zlib.DEFLATED, -15), zlib.crc32
    return isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15), isal_zlib.crc32


class LayerWriter:
    """Takes the bytes of an uncompressed tar and leaves a gzip file in `directory`.

    A context manager: unless `finish` was reached the file is deleted. Raises `Unreachable` when the disk is full."""

    def __init__(self, directory: Path) -> None:
        self._deflate, self._crc32 = _compressor()
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._crc = 0
        self._length = 0
        self._size = 0
        self._pending = bytearray()
        self._finished = False
        try:
            descriptor, name = tempfile.mkstemp(prefix="layer-", suffix=".tar.gz", dir=directory)
        except OSError as error:
            raise _unwritable(directory, error) from error
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._store(_GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= _BUFFER:
            self._compress()

    def finish(self) -> Layer:
        self._compress()
        self._store(self._deflate.flush())
        self._store(self._crc.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little"))
        try:
            self._file.close()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._finished = True
        return Layer(
            self._path, f"sha256:{self._packed.hexdigest()}", self._size, f"sha256:{self._plain.hexdigest()}"
        )

    def _compress(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._plain.update(data)
        self._crc = self._crc32(data, self._crc)
        self._length += len(data)
        self._store(self._deflate.compress(data))

    def _store(self, data: bytes) -> None:
        self._packed.update(data)
        self._size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._finished:
            return
        try:
            self._file.close()
        except OSError:
            pass  # a full disk fails the flush as well; what matters is that the file goes
        finally:
            self._path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> Unreachable:
    return Unreachable(
        f"A layer could not be written to {path}: {error.strerror or error}.", remedy="Free some disk space."
    )


class TarWriter:
    """Writes ustar entries, with PAX records only where ustar cannot say it. Times are `MTIME` unless given.

    Paths are relative to the root, without leading slash. Names are str with surrogateescape. Owners are numbers
    up to `MAX_ID`; raises `BuildFailed` for others."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink

    def directory(
        self,
        path: str,
        *,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        mtime: int | None = None,
        xattrs: Mapping[str, str] | None = None,
    ) -> None:
        self._entry(path + "/", b"5", mode, uid, gid, mtime, xattrs=xattrs)

    def file(
        self,
        path: str,
        size: int,
        content: Iterable[bytes],
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int | None = None,
        xattrs: Mapping[str, str] | None = None,
    ) -> None:
        """Raises `BuildFailed` when `content` does not have exactly `size` bytes."""
        self._entry(path, b"0", mode, uid, gid, mtime, size=size, xattrs=xattrs)
        for chunk in padded(path, size, content):
            self._sink(chunk)

    def file_header(self, path: str, node: Node) -> None:
        """A file whose content (see `padded`) the caller hands to the sink itself."""
        self._entry(path, b"0", node.mode, node.uid, node.gid, node.mtime, size=node.size, xattrs=node.xattrs)

    def symlink(self, path: str, target: str, *, uid: int = 0, gid: int = 0, mtime: int | None = None) -> None:
        self._entry(path, b"2", 0o777, uid, gid, mtime, link=target)

    def hardlink(
        self, path: str, target: str, *, mode: int = 0o644, uid: int = 0, gid: int = 0, mtime: int | None = None
    ) -> None:
        """Another name of the file at `target`, which must have been written before."""
        self._entry(path, b"1", mode, uid, gid, mtime, link=target)

    def special(
        self,
        path: str,
        flag: bytes,
        *,
        device: tuple[int, int] = (0, 0),
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int | None = None,
    ) -> None:
        """A character device (`b"3"`), block device (`b"4"`) or named pipe (`b"6"`)."""
        self._entry(path, flag, mode, uid, gid, mtime, device=device)

    def opaque(self, path: str) -> None:
        """Removes what lower layers have inside the directory at `path`."""
        self._entry(f"{path}/{OPAQUE}" if path else OPAQUE, b"0", 0o600, 0, 0, None)

    def finish(self) -> None:
        """End the archive with its two empty blocks."""
        self._sink(bytes(2 * _BLOCK))

    def _entry(
        self,
        path: str,
        flag: bytes,
        mode: int,
        uid: int,
        gid: int,
        mtime: int | None,
        *,
        size: int = 0,
        link: str = "",
        device: tuple[int, int] = (0, 0),
        xattrs: Mapping[str, str] | None = None,
    ) -> None:
        name, target = os.fsencode(path), os.fsencode(link)
        time = MTIME if mtime is None else mtime
        split = _split(name)
        records: dict[bytes, bytes] = {os.fsencode(key): os.fsencode(value) for key, value in (xattrs or {}).items()}
        if split is None:
            records[b"path"] = name
            split = b"", _ascii(name)
        if len(target) > 100 or not target.isascii():
            records[b"linkpath"] = target
            target = _ascii(target)
        if size > _MAX_SIZE:
            records[b"size"] = str(size).encode()
        for key, number in ((b"uid", uid), (b"gid", gid)):
            if not 0 <= number <= MAX_ID:
                raise BuildFailed(f"/{path} cannot belong to {number}: the last user or group is {MAX_ID}.")
            if number > _MAX_OCTAL_ID:
                records[key] = str(number).encode()
        if not 0 <= time <= _MAX_SIZE:
            records[b"mtime"] = str(time).encode()
        if records:
            body = b"".join(_record(key, records[key]) for key in sorted(records))
            head = _header(b"", _ascii(b"PaxHeaders/" + name), b"x", 0o644, 0, 0, len(body), MTIME, b"", (0, 0))
            self._sink(head + body + bytes(-len(body) % _BLOCK))
        prefix, short = split
        uid, gid = min(uid, _MAX_OCTAL_ID), min(gid, _MAX_OCTAL_ID)
        time, size = min(max(time, 0), _MAX_SIZE), min(size, _MAX_SIZE)
        self._sink(_header(prefix, short, flag, mode, uid, gid, size, time, target, device))


def padded(path: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """A file's content as it stands in a tar. Raises `BuildFailed` when it does not have exactly `size` bytes."""
    left = size
    for chunk in content:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise BuildFailed(f"/{path} has {'more' if left < 0 else 'less'} content than its size of {size} bytes.")
    if size % _BLOCK:
        yield bytes(_BLOCK - size % _BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """The ustar prefix and name, None when the name needs a PAX record."""
    if not name.isascii():
        return None
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", max(len(name) - 101, 0), len(name) - 1)
    return (name[:cut], name[cut + 1 :]) if 0 < cut <= 155 else None


def _ascii(name: bytes) -> bytes:
    """A stand-in for readers that do not know PAX; a file's must not end in a slash, which would mean a directory."""
    return name.decode("ascii", "replace").encode("ascii", "replace")[:100].rstrip(b"/")


def _record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    total = length + len(str(total))
    return b"%d %b=%b\n" % (total, key, value)


def _header(
    prefix: bytes,
    name: bytes,
    flag: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    target: bytes,
    device: tuple[int, int],
) -> bytes:
    start = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, mtime)
    numbers = b"%07o\0%07o\0" % device
    end = b"%b%bustar\x0000%b%b%b" % (flag, target.ljust(100, b"\0"), bytes(64), numbers, prefix.ljust(167, b"\0"))
    return b"%b%06o\0 %b" % (start, sum(start) + sum(end) + 256, end)
