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

from lineal.context.tree import Unresolvable, resolve_links
from lineal.engine.runc.inside.control import Control
from lineal.engine.runc.inside.overlay import is_marked, mark
from lineal.engine.runc.inside.writers import LARGEST, Writers
from lineal.tar.compression import open_archive
from lineal.tar.header import Malformed, Unsupported
from lineal.tar.reader import MAX_PATH, Entry, TarReader, too_long
from lineal.tar.whiteout import OPAQUE, WHITEOUT, removed
from lineal.text import printable

_XATTR = "SCHILY.xattr."
_CHUNK = 1 << 18
_TYPES = {b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"6": stat.S_IFIFO}


def unpack(orders: dict[str, Any], control: Control) -> None:
    """Standard input is the tar, compressed or not. `directory` exists and is empty. Whiteouts of a `layer` become
    overlay's marks there, `rootless` chooses which. `root`: mode, uid and gid of the directory itself.

    Answers `implied`, the directories that only the names in the tar have, or why it is `malformed`."""
    os.chdir(orders["directory"])
    # What is loaded only now would be looked for in there.
    _preload()
    os.chroot(".")
    target = _Unpacking(layer=orders["layer"], rootless=orders["rootless"])
    try:
        for entry in (reader := TarReader(open_archive(_stdin()))):
            target.add(entry, reader)
    except Malformed as error:
        control.send(malformed=str(error))
        return
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
        self._links: dict[str, str] = {}
        """The symbolic links among it, and what they say."""
        # What its threads find there was another small file, or one that is hidden: `_clear` would wait for them.
        self._writers = Writers(partial(self._replacing, os.unlink))
        self.implied: list[str] = []

    def add(self, entry: Entry, reader: TarReader) -> None:
        place = self._place(entry.path)
        directory, _, name = place.rpartition("/")
        if not name:
            if entry.kind == "directory":
                self._attributes("/", entry)
            return
        path = "/" + place
        if self._layer and name.startswith(WHITEOUT):
            self._whiteout(place)
            return
        self._parents(directory)
        if entry.kind == "directory":
            self._directory(path, entry)
        elif entry.kind != "file":
            self._clear(path)
            self._others.add(path)
            self._other(path, entry)
        elif entry.size <= LARGEST and self._is_new(path):
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

    def _place(self, path: str) -> str:
        """Where it is once the links on the way are followed, which may lead to what is still to be made: nothing has
        two paths here."""
        if not self._links or "/" + path.rpartition("/")[0] in self._known:
            return path
        try:
            parts = resolve_links(path, self._link_at, last=False, deepest=MAX_PATH // 2)
        except Unresolvable as error:
            raise Malformed(f"/{printable(path)} {error}") from None
        place = "/".join(parts)
        if reason := too_long(place):
            raise Unsupported(f"/{printable(path, 60)} leads to what {reason}")
        return place

    def _link_at(self, parts: list[str]) -> str | None:
        return self._links.get("/" + "/".join(parts))

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
            self._clear(path)
            os.mkdir(path, 0o755)
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
        if path[1:] in self.implied:
            self.implied.remove(path[1:])
        self._attributes(path, entry)

    def _attributes(self, path: str, entry: Entry) -> None:
        os.chown(path, entry.uid, entry.gid)
        self._xattrs(path, entry)
        os.chmod(path, entry.mode)
        self._times[path] = _time(entry)

    def _other(self, path: str, entry: Entry) -> None:
        if entry.kind == "hardlink":
            self._hard_link(path, entry)
        elif entry.kind == "symlink":
            os.symlink(entry.target, path)
            self._links[path] = entry.target
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
            _set_time(path, _time(entry))
        else:
            self._special(path, entry)

    def _hard_link(self, path: str, entry: Entry) -> None:
        target = "/" + self._place(entry.target)
        if target in self._known:
            raise Malformed(f"/{printable(entry.path)} is a hard link to a directory")
        self._writers.wait()
        try:
            os.link(target, path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            said = f"/{printable(entry.path)} is a hard link to /{printable(entry.target)}"
            raise Malformed(f"{said}, which is no file of the layer") from None
        if target in self._links:
            self._links[path] = self._links[target]

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

    def _whiteout(self, place: str) -> None:
        directory, _, name = place.rpartition("/")
        if name == OPAQUE:
            self._parents(directory)
            mark("/" + directory, self._rootless)
        elif gone := removed(place):
            self._parents(directory)
            self._clear("/" + gone)
            os.mknod("/" + gone, stat.S_IFCHR | 0o600, 0)

    def _clear(self, path: str) -> None:
        """Make room for another entry of the same name."""
        self._writers.settle(path)
        try:
            os.unlink(path)
            self._links.pop(path, None)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            import shutil

            self._writers.wait()
            shutil.rmtree(path)
        if path in self._known:
            inside = path + "/"
            self._links = {one: target for one, target in self._links.items() if not one.startswith(inside)}
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
