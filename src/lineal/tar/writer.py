"""Deterministic tars: equal entries in an equal order give equal bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from lineal.context.tree import MAX_ID, Node
from lineal.errors import BuildFailed
from lineal.tar.header import (
    DIRECTORY,
    END,
    FILE,
    HARDLINK,
    MAX_OCTAL,
    MAX_SIZE,
    NAME,
    SYMLINK,
    encode_records,
    fits,
    padding,
    split_name,
    ustar,
)
from lineal.tar.layer import OPAQUE

MTIME = 315619200
"""1980-01-02 UTC, the time of everything that has none of its own: zip tools refuse times before 1980, and the
second of January is still in 1980 in every time zone."""


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
        self._entry(path + "/", DIRECTORY, mode, uid, gid, mtime, xattrs=xattrs)

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
        self._entry(path, FILE, mode, uid, gid, mtime, size=size, xattrs=xattrs)
        for chunk in padded(path, size, content):
            self._sink(chunk)

    def file_header(self, path: str, node: Node) -> None:
        """A file whose content (see `padded`) the caller hands to the sink itself."""
        self._entry(path, FILE, node.mode, node.uid, node.gid, node.mtime, size=node.size, xattrs=node.xattrs)

    def symlink(self, path: str, target: str, *, uid: int = 0, gid: int = 0, mtime: int | None = None) -> None:
        self._entry(path, SYMLINK, 0o777, uid, gid, mtime, link=target)

    def hardlink(
        self, path: str, target: str, *, mode: int = 0o644, uid: int = 0, gid: int = 0, mtime: int | None = None
    ) -> None:
        """Another name of the file at `target`, which must have been written before."""
        self._entry(path, HARDLINK, mode, uid, gid, mtime, link=target)

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
        self._entry(f"{path}/{OPAQUE}" if path else OPAQUE, FILE, 0o600, 0, 0, None)

    def finish(self) -> None:
        """End the archive with its two empty blocks."""
        self._sink(END)

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
        split = split_name(name)
        records: dict[bytes, bytes] = {os.fsencode(key): os.fsencode(value) for key, value in (xattrs or {}).items()}
        if split is None:
            records[b"path"] = name
            split = b"", _ascii(name)
        if not fits(target):
            records[b"linkpath"] = target
            target = _ascii(target)
        if size > MAX_SIZE:
            records[b"size"] = str(size).encode()
        for key, number in ((b"uid", uid), (b"gid", gid)):
            if not 0 <= number <= MAX_ID:
                raise BuildFailed(f"/{path} cannot belong to {number}: the last user or group is {MAX_ID}.")
            if number > MAX_OCTAL:
                records[key] = str(number).encode()
        if not 0 <= time <= MAX_SIZE:
            records[b"mtime"] = str(time).encode()
        if records:
            body = encode_records(records)
            head = ustar(b"", _ascii(b"PaxHeaders/" + name), b"x", 0o644, 0, 0, len(body), MTIME)
            self._sink(head + body + padding(len(body)))
        prefix, short = split
        uid, gid = min(uid, MAX_OCTAL), min(gid, MAX_OCTAL)
        time, size = min(max(time, 0), MAX_SIZE), min(size, MAX_SIZE)
        self._sink(ustar(prefix, short, flag, mode, uid, gid, size, time, target, device))


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
    if end := padding(size):
        yield end


def _ascii(name: bytes) -> bytes:
    """A stand-in for readers that do not know PAX; a file's must not end in a slash, which would mean a directory."""
    return name.decode("ascii", "replace").encode("ascii", "replace")[:NAME].rstrip(b"/")
