"""Deterministic tars: equal entries in an equal order give equal bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

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
from lineal.tar.whiteout import OPAQUE

MTIME = 315619200
"""1980-01-02 UTC, the time of everything that has none of its own: zip tools refuse times before 1980, and the
second of January is still in 1980 in every time zone."""


class Metadata(Protocol):
    """The kind and the attributes of an entry, whatever holds them, such as a `Node`."""

    @property
    def kind(self) -> str:
        """`file`, `directory`, `symlink` or `special`."""

    @property
    def mode(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def mtime(self) -> int | None:
        """Seconds since the epoch; None for `MTIME`."""

    @property
    def size(self) -> int: ...
    @property
    def target(self) -> str: ...
    @property
    def flag(self) -> bytes:
        """For `special`: a character device (`b"3"`), block device (`b"4"`) or named pipe (`b"6"`)."""

    @property
    def device(self) -> tuple[int, int]: ...
    @property
    def xattrs(self) -> Mapping[str, str]: ...


class TarWriter:
    """Writes ustar entries, with PAX records only where ustar cannot say it.

    Paths are relative to the root, without leading slash. Names are str with surrogateescape. Owners are numbers
    up to `MAX_ID`; raises `BuildFailed` for others."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink

    def header(self, path: str, entry: Metadata) -> None:
        """An entry without its content; that of a file the caller hands to the sink itself (see `padded`)."""
        if entry.kind == "directory":
            self._entry(path + "/", DIRECTORY, entry, xattrs=entry.xattrs)
        elif entry.kind == "symlink":
            self._entry(path, SYMLINK, entry, link=entry.target)
        elif entry.kind == "special":
            self._entry(path, entry.flag, entry, device=entry.device)
        else:
            self._entry(path, FILE, entry, size=entry.size, xattrs=entry.xattrs)

    def file(self, path: str, entry: Metadata, content: Iterable[bytes]) -> None:
        """Raises `BuildFailed` when `content` does not have exactly the size of the entry."""
        self.header(path, entry)
        for chunk in padded(path, entry.size, content):
            self._sink(chunk)

    def hardlink(self, path: str, first: str, entry: Metadata) -> None:
        """Another name of the file at `first`, which must have been written before."""
        self._entry(path, HARDLINK, entry, link=first)

    def opaque(self, path: str) -> None:
        """Removes what lower layers have inside the directory at `path`."""
        name = f"{path}/{OPAQUE}" if path else OPAQUE
        self.header(name, Node(name, "file", 0o600))

    def finish(self) -> None:
        """End the archive with its two empty blocks."""
        self._sink(END)

    def _entry(
        self,
        path: str,
        flag: bytes,
        entry: Metadata,
        *,
        size: int = 0,
        link: str = "",
        device: tuple[int, int] = (0, 0),
        xattrs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        name, target = os.fsencode(path), os.fsencode(link)
        time = MTIME if entry.mtime is None else entry.mtime
        split = split_name(name)
        records: dict[bytes, bytes] = {os.fsencode(key): os.fsencode(value) for key, value in xattrs.items()}
        if split is None:
            records[b"path"] = name
            split = b"", _ascii(name)
        if not fits(target):
            records[b"linkpath"] = target
            target = _ascii(target)
        if size > MAX_SIZE:
            records[b"size"] = str(size).encode()
        for key, number in ((b"uid", entry.uid), (b"gid", entry.gid)):
            if not 0 <= number <= MAX_ID:
                raise BuildFailed(
                    f"/{path} cannot belong to {number}: the last user or group is {MAX_ID}.", id="LN-5015"
                )
            if number > MAX_OCTAL:
                records[key] = str(number).encode()
        if not 0 <= time <= MAX_SIZE:
            records[b"mtime"] = str(time).encode()
        if records:
            body = encode_records(records)
            head = ustar(b"", _ascii(b"PaxHeaders/" + name), b"x", 0o644, 0, 0, len(body), MTIME)
            self._sink(head + body + padding(len(body)))
        mode = 0o777 if flag == SYMLINK else entry.mode
        uid, gid = min(entry.uid, MAX_OCTAL), min(entry.gid, MAX_OCTAL)
        time, size = min(max(time, 0), MAX_SIZE), min(size, MAX_SIZE)
        self._sink(ustar(*split, flag, mode, uid, gid, size, time, target, device))


def padded(path: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """A file's content as it stands in a tar. Raises `BuildFailed` when it does not have exactly `size` bytes."""
    left = size
    for chunk in content:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise BuildFailed(
            f"/{path} has {'more' if left < 0 else 'less'} content than its size of {size} bytes.", id="LN-3011"
        )
    if end := padding(size):
        yield end


def _ascii(name: bytes) -> bytes:
    """A stand-in for readers that do not know PAX; a file's must not end in a slash, which would mean a directory."""
    return name.decode("ascii", "replace").encode("ascii", "replace")[:NAME].rstrip(b"/")
