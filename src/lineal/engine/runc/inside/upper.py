"""What a command wrote, as a tar: overlay's upper directory, with an image's marks in place of overlay's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from lineal.engine.runc.inside.overlay import is_marked, is_opaque
from lineal.tar import raw
from lineal.tar.header import CHARACTER, DIRECTORY, END, FILE, HARDLINK, MAX_SIZE, SYMLINK, padding, ustar

_OPAQUE, _WHITEOUT = b".wh..wh..opq", b".wh."
_CAPABILITY = "security.capability"
"""The only attribute of a file that Docker and BuildKit put into a layer."""
_CHUNK = 1 << 20
_KINDS = {stat.S_IFCHR: CHARACTER, stat.S_IFBLK: b"4", stat.S_IFIFO: b"6", stat.S_IFLNK: SYMLINK}


class UpperReader:
    """Writes the tar of `upper`; `below` shows what the layers under it have. The upper directory is to be the next
    command's layer as it is, so what an image does not hold (sockets, attributes) is taken out of it."""

    def __init__(self, upper: str, below: str, sink: BinaryIO, *, rootless: bool) -> None:
        self._upper, self._below = os.fsencode(upper), os.fsencode(below)
        self._sink = sink.write
        self._rootless = rootless
        self._links: dict[tuple[int, int], bytes] = {}
        self.plain = True
        """Whether the directory says as a layer what its tar says."""

    def write(self) -> None:
        self._directory(b"")
        self._sink(END)

    def _directory(self, path: bytes) -> None:
        with os.scandir(self._at(path)) as found:
            names = sorted(entry.name for entry in found)
        for name in names:
            self._entry(path + b"/" + name if path else name)

    def _entry(self, path: bytes) -> None:
        own = self._at(path)
        found = os.lstat(own)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFSOCK:
            os.unlink(own)
            return
        if path.rpartition(b"/")[2].startswith(_WHITEOUT):
            self.plain = False
        if kind == stat.S_IFCHR and not found.st_rdev:
            self._sink(self._header(path, CHARACTER, found))
        elif kind == stat.S_IFDIR:
            self._sink(self._header(path, DIRECTORY, found, self._records(own, found)))
            if is_opaque(os.fsdecode(own), self._rootless) and self._hides(path):
                self._sink(raw.header(path + b"/" + _OPAQUE))
            self._directory(path)
        elif first := self._links.get((found.st_dev, found.st_ino)):
            self._sink(self._header(path, HARDLINK, found, link=first))
        else:
            if found.st_nlink > 1:
                self._links[found.st_dev, found.st_ino] = path
            self._content(path, kind, found)

    def _content(self, path: bytes, kind: int, found: os.stat_result) -> None:
        own = self._at(path)
        if kind == stat.S_IFLNK:
            self._sink(self._header(path, SYMLINK, found, link=os.readlink(own)))
        elif kind != stat.S_IFREG:
            self._sink(self._header(path, _KINDS[kind], found))
        else:
            self._sink(self._header(path, FILE, found, self._records(own, found), size=found.st_size))
            for chunk in _chunks(own, found.st_size):
                self._sink(chunk)
            self._sink(padding(found.st_size))

    def _hides(self, path: bytes) -> bool:
        """Whether a directory made anew hides anything: overlay marks each new one."""
        below = self._below + b"/" + path
        with suppress(FileNotFoundError, NotADirectoryError):
            return stat.S_ISDIR(os.lstat(below).st_mode) and any(os.scandir(below))
        return False

    def _records(self, own: bytes, found: os.stat_result) -> dict[bytes, bytes]:
        records = {}
        for name in os.listxattr(own, follow_symlinks=False):
            if name == _CAPABILITY and stat.S_ISREG(found.st_mode):
                records[b"SCHILY.xattr." + name.encode()] = os.getxattr(own, name, follow_symlinks=False)
            elif not is_marked(name) and not name.startswith("security."):
                with suppress(OSError):
                    os.removexattr(own, name, follow_symlinks=False)
        return records

    def _header(
        self, path: bytes, kind: bytes, found: os.stat_result, records: dict[bytes, bytes] | None = None, *,
        size: int = 0, link: bytes = b"",
    ) -> bytes:  # fmt: skip
        records = records or {}
        if size > MAX_SIZE:
            records[b"size"] = b"%d" % size
        device = (os.major(found.st_rdev), os.minor(found.st_rdev)) if kind in (CHARACTER, b"4") else (0, 0)
        time = min(max(int(found.st_mtime), 0), MAX_SIZE)
        block = ustar(b"", b"", kind, 0, 0, 0, size if size <= MAX_SIZE else 0, time, device=device)
        entry = raw.Entry(path, kind, link, size, stat.S_IMODE(found.st_mode), block, records)
        entry.own(entry.mode, found.st_uid, found.st_gid)
        return entry.encode()

    def _at(self, path: bytes) -> bytes:
        return self._upper + b"/" + path if path else self._upper


def _chunks(path: bytes, size: int) -> Iterator[bytes]:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as file:
        while size:
            chunk = file.read(min(size, _CHUNK))
            if not chunk:
                raise OSError(f"{os.fsdecode(path)} became shorter")
            size -= len(chunk)
            yield chunk
