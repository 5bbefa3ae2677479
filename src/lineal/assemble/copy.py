"""`COPY`, `ADD` of local files and `WORKDIR` as a layer, decided exactly like BuildKit does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from posixpath import basename, dirname, normpath

from lineal.assemble import archive
from lineal.assemble.destination import Copied, Destination, Staged
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.spool import Spool
from lineal.engine import Directory
from lineal.errors import BuildFailed
from lineal.source import glob
from lineal.source.tree import Node, SourceTree, clamp

__all__ = ["Copied", "CopyItem", "Inline", "copy", "make_directories"]


@dataclass(frozen=True, slots=True)
class CopyItem:
    """One source as written: a path or pattern in `tree`; `unpack` for an `ADD`, which unpacks archives."""

    tree: SourceTree
    path: str
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class Inline:
    """A heredoc: a file `name` with this content."""

    name: str
    data: bytes


def copy(
    parent: Filesystem,
    layer_number: int,
    items: Sequence[CopyItem | Inline],
    *,
    destination: str,
    workdir: str,
    chown: str | None,
    chmod: int | None,
    workspace: Path,
    directories: Sequence[Directory] = (),
) -> Copied:
    """One layer with the `directories` (those that are missing), the copied items and all directories above them.

    `destination` is as written, `workdir` absolute. Without `chown` a node's own owner counts, which is 0:0 for a
    commit's files. The layer may be empty: a wildcard that matches nothing copies nothing. Raises `BuildFailed`."""
    target = Destination(parent, layer_number)
    for wanted in directories:
        _make(target, wanted)
    copier = _Copier(target, _owner(parent, chown), chmod, workspace)
    where = _where(destination, workdir)
    for item in items:
        copier.copy(item, where)
    return target.write(workspace)


def make_directories(
    parent: Filesystem, layer_number: int, directories: Sequence[Directory], workspace: Path
) -> Copied | None:
    """A layer with the directories that are missing and those above them; None when none is missing."""
    target = Destination(parent, layer_number)
    for wanted in directories:
        _make(target, wanted)
    return None if target.is_unchanged else target.write(workspace)


def _make(target: Destination, wanted: Directory) -> None:
    # 0:0 is what a WORKDIR without a USER has: then BuildKit sets no owner, and a setgid parent's group stays.
    owner = (wanted.uid, wanted.gid) if wanted.uid or wanted.gid else None
    target.make_directories(target.resolve(wanted.path), wanted.mode, owner)


def _owner(parent: Filesystem, chown: str | None) -> tuple[int, int] | None:
    if not chown:
        return None
    try:
        return parent.owner(chown)
    except LookupError as error:
        raise BuildFailed(f"--chown={chown}: {error.args[0]}") from error


def _where(destination: str, workdir: str) -> str:
    """The absolute destination; it ends in a slash when it was written as a directory."""
    path = normpath("/" + (destination if destination.startswith("/") else f"{workdir}/{destination}"))
    path = "/" + path.lstrip("/")
    return path if path == "/" or not (destination in ("", ".") or destination.endswith("/")) else path + "/"


class _Copier:
    def __init__(
        self, target: Destination, owner: tuple[int, int] | None, chmod: int | None, workspace: Path
    ) -> None:
        self._target = target
        self._owner = owner
        self._chmod = chmod
        self._workspace = workspace
        self._spool: Spool | None = None

    def copy(self, item: CopyItem | Inline, where: str) -> None:
        if isinstance(item, Inline):
            place = self._place(where, basename(item.name))
            self._put(place, Node(place, "file", 0o644, len(item.data)), lambda: iter((item.data,)))
            return
        names = glob.expand(item.tree, item.path)
        if not names and not glob.has_wildcards(item.path):
            raise BuildFailed(f"/{clamp(item.path)} is not there to be copied.")
        for name in names:
            node = glob.follow(item.tree, name)
            if node is None:
                raise BuildFailed(f"/{name} is a symbolic link to what does not exist.")
            self._copy(item, node, basename(name), where)

    def _copy(self, item: CopyItem, node: Node, name: str, where: str) -> None:
        if node.kind == "directory":
            self._directory(item.tree, node, where)
        elif item.unpack and archive.is_archive(item.tree.open(node)):
            below = self._target.resolve(where)
            self._parents(below)
            self._spool = self._spool or Spool(self._workspace)
            archive.extract(item.tree.open(node), node.path, self._target, below, self._spool)
        else:
            self._node(item.tree, node, self._place(where, name))

    def _place(self, where: str, name: str) -> str:
        """Where a file goes: into a directory, or to the path itself; parents are made."""
        self._parents(self._target.resolve(where if where.endswith("/") else dirname(where)))
        place = self._target.resolve(where)
        if self._target.is_directory(place):
            place = f"{place}/{name}" if place else name
        self._parents(dirname(place))
        return place

    def _directory(self, tree: SourceTree, source: Node, where: str) -> None:
        """The contents of a directory. The destination itself keeps its mode, or is made with 0755."""
        place = self._target.resolve(where)
        staged = self._target.staged(place)
        if staged is not None and staged.kind != "directory":
            raise BuildFailed(f"A directory cannot be copied over the file /{place}.")
        self._parents(place)
        skip = len(source.path) + 1 if source.path else 0
        prefix = f"{place}/" if place else ""
        for node in tree.walk(source.path):
            self._node(tree, node, prefix + node.path[skip:])

    def _parents(self, path: str) -> None:
        self._target.make_directories(path, 0o755, self._owner)

    def _node(self, tree: SourceTree, node: Node, place: str) -> None:
        self._put(place, node, partial(tree.open, node) if node.kind == "file" else None)

    def _put(self, place: str, node: Node, content: Callable[[], Iterator[bytes]] | None) -> None:
        mode = node.mode
        if self._chmod is not None and node.kind != "symlink":
            mode = (mode & 0o7000) | (self._chmod & 0o777)
        uid, gid = self._owner or (node.uid, node.gid)
        staged = Staged(node.kind, mode, uid, gid, node.mtime, node.size, content, node.target, xattrs=node.xattrs)
        if node.kind == "directory":
            self._target.directory(place, staged)
        else:
            self._target.put(place, staged)
