"""One layer by itself, as engines unpack it: into an empty directory that overlay then puts on top of those below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import dirname
from typing import BinaryIO, Generic, TypeVar

from lineal.assemble.allowance import NAME, Allowance
from lineal.assemble.links import follow
from lineal.context.tree import Unresolvable
from lineal.tar.header import CHARACTER, Malformed, Unsupported
from lineal.tar.reader import Entry, TarReader
from lineal.tar.whiteout import OPAQUE, WHITEOUT, removed
from lineal.text import printable

MAX_NAMES = 256 << 20
"""Bytes of all paths that are kept of a layer."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Inode(Generic[T]):
    """What is under one or several names: hard links are names of one object. `entry.path` is only one of them."""

    entry: Entry
    """Of the kind `hardlink` as long as the file is not known that `entry.target` leads to."""
    content: T | None = None

    @property
    def is_directory(self) -> bool:
        return self.entry.kind == "directory"


class UnpackedLayer(Generic[T]):
    """The names of one layer. Its own links are followed on the way to them, never a link of a layer below: there a
    folder of this layer stands in the link's place, as overlay has it.

    Every directory and symbolic link is known, of other things those that `keeps` names; `store` takes the content of
    such a file while it is read."""

    def __init__(
        self,
        keeps: Callable[[str], bool],
        closes: Callable[[str], bool],
        store: Callable[[Entry, TarReader], T],
        allowance: Allowance,
    ) -> None:
        self.names: dict[str, Inode[T] | None] = {"": None}
        """None for a directory that has no entry of its own: it is there because something is in it."""
        self.closed: set[str] = set()
        """The paths at which, and below which, nothing of lower layers shows: what was removed, emptied, or is no
        directory here. Of the latter only those that `closes` names."""
        self.elsewhere: dict[str, str] = {}
        """The hard links that are not kept to what is not kept, or in a lower layer, and their targets."""
        self._keeps = keeps
        self._closes = closes
        self._store = store
        self._allowance = allowance
        self._links: dict[str, str] = {}
        self._inside: dict[str, list[str]] = {}
        self._size = 0

    def read(self, tar: BinaryIO) -> None:
        """Read an uncompressed tar to its end. Raises `Malformed`."""
        reader = TarReader(tar)
        for entry in reader:
            path = self._place(entry.path)
            if path.rpartition("/")[2].startswith(WHITEOUT):
                self._whiteout(path)
            elif entry.kind == "directory":
                self._directory(path, entry)
            elif path:
                self._other(path, entry, reader)
            else:
                raise Malformed("it replaces the root directory by a file")

    def is_directory(self, path: str) -> bool:
        if path not in self.names:
            return False
        inode = self.names[path]
        return inode is None or inode.is_directory

    def _place(self, path: str) -> str:
        if not self._links or self.is_directory(dirname(path)):
            return path
        try:
            return follow(self._links, path, last=False)
        except Unresolvable as error:
            raise Malformed(f"/{printable(path)} {error}") from None

    def _whiteout(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        if name == OPAQUE:
            closed = directory
        elif not (closed := removed(path)):
            return
        self._parents(path)
        self._keep(closed)
        self.closed.add(closed)

    def _directory(self, path: str, entry: Entry) -> None:
        if not self.is_directory(path):
            self._remove(path)
            self._parents(path)
            self._enter(path)
        self._allowance.take(weight(entry.xattrs))
        self.names[path] = Inode(entry)

    def _other(self, path: str, entry: Entry, reader: TarReader) -> None:
        self._remove(path)
        self._parents(path)
        if self._closes(path):
            self._keep(path)
            self.closed.add(path)
        if entry.flag == CHARACTER and entry.device == (0, 0):
            self._keep(path)
            self.closed.add(path)  # overlay's own mark of what is removed
        elif (inode := self._inode(path, entry, reader)) is not None:
            self._enter(path)
            self.names[path] = inode

    def _inode(self, path: str, entry: Entry, reader: TarReader) -> Inode[T] | None:
        if entry.kind == "hardlink":
            return self._linked(path, entry)
        if entry.kind == "symlink":
            self._allowance.take(len(entry.target))
            self._links[path] = entry.target
            return Inode(entry)
        if not self._keeps(path):
            return None
        self._allowance.take(weight(entry.xattrs))
        return Inode(entry, self._store(entry, reader) if entry.kind == "file" else None)

    def _linked(self, path: str, entry: Entry) -> Inode[T] | None:
        """The object that the link's target is, with what this entry says of it, as an engine gives it to both."""
        target = self._place(entry.target)
        if self.is_directory(target):
            raise Malformed(f"/{printable(entry.path)} is a hard link to a directory")
        target = self.elsewhere.get(target, target)
        inode = self.names.get(target)
        if inode is None:
            entry.target = target
            if self._keeps(path):
                return Inode(entry)
            self._keep(path + target)
            self.elsewhere[path] = target
            return None
        known = inode.entry
        known.mode, known.uid, known.gid, known.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
        if known.kind == "symlink":
            self._links[path] = known.target
        return inode

    def _parents(self, path: str) -> None:
        """The directories above that have no entry before those in them."""
        missing = []
        while not self.is_directory(path := dirname(path)):
            missing.append(path)
        for path in reversed(missing):
            self._remove(path)
            self._enter(path)
            self.names[path] = None

    def _enter(self, path: str) -> None:
        self._size += len(path)
        if self._size > MAX_NAMES:
            raise Unsupported(f"its directories and links have more than {MAX_NAMES >> 20} MiB of names")
        self._keep(path)
        self._inside.setdefault(dirname(path), []).append(path)

    def _keep(self, path: str) -> None:
        self._allowance.take(NAME + len(path))

    def _remove(self, path: str) -> None:
        """Make room at a path for what comes there, as unpacking does."""
        left = [path]
        while left:
            one = left.pop()
            self.names.pop(one, None)
            self._links.pop(one, None)
            self.elsewhere.pop(one, None)
            left += self._inside.pop(one, ())


def weight(xattrs: Mapping[str, str]) -> int:
    """The bytes that extended attributes take."""
    return sum(NAME + len(name) + len(value) for name, value in xattrs.items()) if xattrs else 0


class Inside:
    """Whether a path or a directory above it is one of some paths. Directories are remembered."""

    def __init__(self, has: Callable[[str], bool]) -> None:
        self._has = has
        self._known: dict[str, bool] = {}

    def __call__(self, path: str) -> bool:
        if self._has(path):
            return True
        way = []
        found = False
        while path and not found:
            path = dirname(path)
            if (known := self._known.get(path)) is not None:
                found = known
                break
            way.append(path)
            found = self._has(path)
        self._known |= dict.fromkeys(way, found)
        return found
