"""A tar unpacked into a directory, which is the root of all of its names and links: nothing in it leads out."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from lineal.engine.runc.inside.control import Control
from lineal.engine.runc.inside.overlay import is_marked, mark
from lineal.engine.runc.inside.writers import LARGEST, Writers
from lineal.tar.compression import open_archive
from lineal.tar.reader import Entry, TarReader

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_CHUNK = 1 << 18
_TYPES = {b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"6": stat.S_IFIFO}


def unpack(orders: dict[str, Any], control: Control) -> None:
    """Standard input is the tar, compressed or not. `directory` exists; that of a `layer` is empty, and whiteouts
    become overlay's marks there, `rootless` chooses which. `root`: mode, uid and gid of the directory itself.

    Answers `implied`, the directories that only the names in the tar have."""
    os.chdir(orders["directory"])
    # What is loaded only now would be looked for in there.
    _preload()
    os.chroot(".")
    target = _Unpacking(layer=orders["layer"], rootless=orders["rootless"])
    for entry in (reader := TarReader(open_archive(_stdin()))):
        target.add(entry, reader)
    target.finish()
    if orders.get("root"):
        mode, uid, gid = orders["root"]
        os.chown("/", uid, gid)
        os.chmod("/", mode)
    control.send(implied=target.implied)


def _preload() -> None:
    import encodings.idna  # noqa: F401
    import lzma  # noqa: F401
    import zlib  # noqa: F401

    for name in ("isal.isal_zlib", "compression.zstd", "backports.zstd", "bz2"):
        try:
            __import__(name)
        except ImportError:
            continue


def _stdin() -> Iterator[bytes]:
    while chunk := os.read(sys.stdin.fileno(), _CHUNK):
        yield chunk


class _Unpacking:
    def __init__(self, *, layer: bool, rootless: bool) -> None:
        self._layer = layer
        self._rootless = rootless
        self._times: dict[str, int] = {}
        self._known = {"/", ""}
        """Directories that are there."""
        self._others: set[str] = set()
        """What else is there, but for the files of `_writers`."""
        # What its threads find there was another small file, or one that is hidden: `_clear` would wait for them.
        self._writers = Writers(partial(self._replacing, os.unlink))
        self._by_name = layer
        """Whether each file has one name so far: then those in `_writers` can be told by it."""
        self.implied: list[str] = []

    def add(self, entry: Entry, reader: TarReader) -> None:
        directory, _, name = entry.path.rpartition("/")
        if not name:
            if entry.kind == "directory":
                self._attributes("/", entry)
            return
        self._parents(directory)
        path = "/" + entry.path
        if self._layer and name.startswith(_WHITEOUT):
            self._whiteout("/" + directory, name)
        elif entry.kind == "directory":
            self._directory(path, entry)
        elif entry.kind != "file":
            self._clear(path)
            self._others.add(path)
            self._other(path, entry)
        elif self._by_name and entry.size <= LARGEST and self._is_new(path):
            self._writers.add(directory, path, entry, list(reader.content()))
        else:
            self._writers.settle(path)
            self._others.add(path)
            self._replacing(self._clear, path, entry, reader.content())

    def _is_new(self, path: str) -> bool:
        return path not in self._known and path not in self._others

    def finish(self) -> None:
        self._writers.wait()
        for path, time in reversed(self._times.items()):
            _set_time(path, time)

    def _parents(self, directory: str) -> None:
        if "/" + directory in self._known:
            return
        above = directory.rpartition("/")[0]
        self._parents(above)
        path = "/" + directory
        self._writers.settle(path)
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            # Where a link leads to a directory, what is below it is there, as the engines have it.
            if not os.path.isdir(path):
                self._clear(path)
                os.mkdir(path, 0o755)
            else:
                self._writers.wait()
                self._by_name = False
        else:
            self.implied.append(directory)
        self._known.add(path)

    def _directory(self, path: str, entry: Entry) -> None:
        self._writers.settle(path)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                self._clear(path)
                os.mkdir(path, 0o700)
        self._known.add(path)
        if entry.path in self.implied:
            self.implied.remove(entry.path)
        self._attributes(path, entry)

    def _attributes(self, path: str, entry: Entry) -> None:
        os.chown(path, entry.uid, entry.gid)
        self._xattrs(path, entry)
        os.chmod(path, entry.mode)
        self._times[path] = _time(entry)

    def _other(self, path: str, entry: Entry) -> None:
        if entry.kind == "hardlink":
            self._writers.wait()
            os.link("/" + entry.target, path, follow_symlinks=False)
        elif entry.kind == "symlink":
            os.symlink(entry.target, path)
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
            _set_time(path, _time(entry))
        else:
            self._special(path, entry)

    def _replacing(self, clear: Callable[[str], None], path: str, entry: Entry, content: Iterable[bytes]) -> None:
        """Write a file whose name may be taken: its name may stand twice in the tar."""
        try:
            self._file(path, entry, content)
        except FileExistsError:
            clear(path)
            self._file(path, entry, content)

    def _file(self, path: str, entry: Entry, content: Iterable[bytes]) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            for chunk in content:
                while chunk:
                    chunk = chunk[os.write(file, chunk) :]
            os.fchown(file, entry.uid, entry.gid)
            if entry.xattrs:
                self._xattrs(path, entry)
            os.fchmod(file, entry.mode)
            with suppress(OverflowError):
                os.utime(file, ns=(_time(entry), _time(entry)))
        finally:
            os.close(file)

    def _special(self, path: str, entry: Entry) -> None:
        try:
            os.mknod(path, _TYPES[entry.flag] | 0o600, os.makedev(*entry.device))
        except PermissionError:
            # Devices are the system's: a user namespace has none, and a build needs none.
            if entry.flag == b"6":
                raise
            return
        os.chown(path, entry.uid, entry.gid)
        os.chmod(path, entry.mode)
        _set_time(path, _time(entry))

    def _whiteout(self, directory: str, name: str) -> None:
        if name == _OPAQUE:
            mark(directory, self._rootless)
            return
        path = f"{directory.rstrip('/')}/{name.removeprefix(_WHITEOUT)}"
        if name.startswith(_WHITEOUT * 2) or name == _WHITEOUT:
            return  # AUFS's own
        self._clear(path)
        os.mknod(path, stat.S_IFCHR | 0o600, 0)

    def _clear(self, path: str) -> None:
        """Make room for another entry of the same name."""
        self._writers.settle(path)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            import shutil

            self._writers.wait()
            shutil.rmtree(path)
        if path in self._known:  # a directory, or a link that led to one
            inside = path + "/"
            self._known = {one for one in self._known if one != path and not one.startswith(inside)}
            self._times = {one: time for one, time in self._times.items() if one in self._known}
            self.implied = [one for one in self.implied if "/" + one in self._known]

    def _xattrs(self, path: str, entry: Entry) -> None:
        for key, value in entry.xattrs.items():
            name = key.removeprefix(_XATTR)
            if is_marked(name) or name == "security.selinux":
                continue
            try:
                os.setxattr(path, name, os.fsencode(value), follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise


def _time(entry: Entry) -> int:
    return entry.mtime * 10**9 + entry.nanoseconds


def _set_time(path: str, time: int) -> None:
    """In nanoseconds."""
    with suppress(OverflowError, FileNotFoundError):
        os.utime(path, ns=(time, time), follow_symlinks=False)
