"""One layer being made: entries put onto a parent's filesystem under BuildKit's rules, then written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from posixpath import basename, dirname
from stat import S_ISGID

from lineal.assemble.filesystem import DirectoryEntry, Filesystem, FilesystemBuilder
from lineal.assemble.links import resolve
from lineal.errors import BuildFailed
from lineal.oci.types import Layer
from lineal.tar.compression import open_archive
from lineal.tar.layer import LayerWriter
from lineal.tar.reader import too_long
from lineal.tar.whiteout import WHITEOUT
from lineal.tar.writer import TarWriter
from lineal.text import printable

_ACCOUNTS = ("etc/passwd", "etc/group")
_UNKNOWN = DirectoryEntry(0o755, 0, 0, 0)
_CHUNK = 1 << 18
_UNSAFE = frozenset(("", ".", ".."))


@dataclass(frozen=True, slots=True)
class AssembledLayer:
    """A layer, and the filesystem of the image that ends with it."""

    layer: Layer
    filesystem: Filesystem


@dataclass(slots=True, eq=False)
class LayerEntry:
    """An entry of the layer to be. Put under two paths, the same object means a hard link."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int | None = None
    size: int = 0
    content: Callable[[], Iterator[bytes]] | None = None
    target: str = ""
    flag: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, str] = field(default_factory=dict)
    opaque: bool = False


class LayerBuilder:
    """Paths given to its methods are resolved, without leading slash."""

    def __init__(self, parent: Filesystem, layer: int) -> None:
        self._draft: FilesystemBuilder = parent.draft()
        self._layer = layer
        self._entries: dict[str, LayerEntry] = {}
        self._gone: set[str] = set()
        self._lower = parent.directories

    def resolve(self, path: str, *, last: bool = True, root: str = "") -> str:
        return resolve(self._draft.symlinks, path, last=last, root=root)

    def is_directory(self, path: str) -> bool:
        return path in self._draft.directories

    def directory_at(self, path: str) -> DirectoryEntry | None:
        return self._draft.directories.get(path)

    def staged(self, path: str) -> LayerEntry | None:
        return self._entries.get(path)

    def make_directories(self, path: str, mode: int, owner: tuple[int, int] | None) -> None:
        """A directory and its parents; those that exist stay as they are.

        Below a setgid directory they are made as the kernel makes them for BuildKit: setgid too, and without an
        `owner` in that directory's group."""
        missing = []
        while path not in self._draft.directories:
            if path in self._entries or path in self._draft.symlinks:
                raise BuildFailed(f"/{path} is not a directory, so nothing can be put below it.", id="LN-5014")
            missing.append(path)
            path = dirname(path)
        for path in reversed(missing):
            parent = self._draft.directories[dirname(path)]
            setgid = parent.mode & S_ISGID
            uid, gid = owner or (0, parent.gid if setgid else 0)
            self.directory(path, LayerEntry("directory", mode | setgid, uid, gid))

    def directory(self, path: str, entry: LayerEntry) -> None:
        """A directory with exactly this mode and owner. Raises `BuildFailed` when something else is there."""
        old = self._draft.directories.get(path)
        if old is None and (path in self._entries or path in self._draft.symlinks):
            what = "symbolic link" if path in self._draft.symlinks else "file"
            raise BuildFailed(f"The directory /{path} cannot be copied over the {what} that is there.", id="LN-5014")
        self._check(path)
        wanted = (entry.mode, entry.uid, entry.gid)
        if old is not None and old[:3] == wanted and not entry.xattrs:
            return
        if old is not None and path in self._entries:
            entry.opaque = self._entries[path].opaque
        entry.opaque = entry.opaque or path in self._gone
        self._draft.directory(path, *wanted, self._layer)
        self._entries[path] = entry

    def put(self, path: str, entry: LayerEntry) -> None:
        """A file, link or device, replacing whatever is not a directory. Raises `BuildFailed` over a directory."""
        if path in self._draft.directories:
            raise BuildFailed(f"The directory /{path} cannot be replaced by a file.", id="LN-5014")
        self._check(path)
        if entry.kind == "symlink":
            self._draft.symlink(path, entry.target, self._layer)
        else:
            self._draft.file(path, self._layer)
        self._entries[path] = entry

    def remove(self, path: str) -> None:
        """Make room at a path, as unpacking an archive does. The caller puts something else there."""
        if path in self._draft.directories:
            if path in self._lower:
                self._gone.add(path)
            for name in [name for name in self._entries if name.startswith(f"{path}/")]:
                del self._entries[name]
        self._entries.pop(path, None)
        self._draft.remove(path)

    def write(self, workspace: Path) -> AssembledLayer:
        """The layer's file is made in `workspace`."""
        return AssembledLayer(self._layer_of(self._with_ancestors(), workspace), self._draft.freeze())

    def cover(self, above: LayerBuilder, parent: Filesystem, workspace: Path) -> AssembledLayer:
        """A layer with the entries of both: those `above` were put onto an empty image, and win."""
        entries = above._with_ancestors()
        for path, entry in self._with_ancestors().items():
            if path not in entries and all(
                one not in entries or entries[one].kind == "directory" for one in _up(path)
            ):
                entries[path] = entry
        layer = self._layer_of(entries, workspace)
        with layer.path.open("rb") as file:
            tar = open_archive(iter(partial(file.read, _CHUNK), b""))
            return AssembledLayer(layer, parent.apply(self._layer, tar))

    def _layer_of(self, entries: dict[str, LayerEntry], workspace: Path) -> Layer:
        with LayerWriter(workspace) as writer:
            tar = TarWriter(writer.write)
            names: dict[int, str] = {}
            for path in sorted(entries, key=os.fsencode):
                self._write(tar, path, entries[path], names)
            tar.finish()
            return writer.finish()

    def _with_ancestors(self) -> dict[str, LayerEntry]:
        """The entries and every directory above them but the root, which BuildKit's layers leave out too.

        An engine unpacks a layer into an empty directory: one that the layer does not hold is made there as 0755 of
        root, and then covers what lower layers say about it. The index does not change, for nothing else does."""
        entries = dict(self._entries)
        for path in self._entries:
            while (path := dirname(path)) and path not in entries:
                mode, uid, gid, _ = self._draft.directories.get(path, _UNKNOWN)
                entries[path] = LayerEntry("directory", mode, uid, gid)
        return entries

    @property
    def is_unchanged(self) -> bool:
        return not self._entries

    def _check(self, path: str) -> None:
        if not _UNSAFE.isdisjoint(path.split("/")):
            raise BuildFailed(
                f"/{path} cannot be kept in an image: '', '.' and '..' are no names of files.",
                id="LN-5015",
                remedy="The commit or the archive that it comes from is malformed: make it again.",
            )
        if reason := too_long(path):
            raise BuildFailed(f"/{printable(path, 60)} {reason}.", id="LN-5015", remedy="Give it a shorter name.")
        if basename(path).startswith(WHITEOUT):
            raise BuildFailed(
                f"/{path} cannot be kept in an image: names that begin with {WHITEOUT!r} mean a removed file.",
                id="LN-5015",
                remedy="Rename it, or list it in .dockerignore.",
            )

    def _write(self, tar: TarWriter, path: str, entry: LayerEntry, names: dict[int, str]) -> None:
        first = names.setdefault(id(entry), path)
        if first != path and entry.kind in ("file", "special"):
            tar.hardlink(path, first, entry)
        elif entry.kind != "file":
            tar.header(path, entry)
            if entry.opaque:
                tar.opaque(path)
        else:
            content = entry.content() if entry.content is not None else iter(())
            if path in _ACCOUNTS:
                content = iter([data := b"".join(content)])
                self._draft.account(path, data)
            tar.file(path, entry, content)


def _up(path: str) -> Iterator[str]:
    while path := dirname(path):
        yield path
