"""`COPY`, `ADD` and `WORKDIR` as a layer, decided exactly like BuildKit does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from posixpath import basename, dirname, normpath

from lineal.assemble import accounts, archive
from lineal.assemble.filesystem import AccountFileIsALink, Filesystem
from lineal.assemble.layer_builder import AssembledLayer, LayerBuilder, LayerEntry
from lineal.context import glob
from lineal.context.chmod import Chmod
from lineal.context.path_filter import EVERYTHING, PathFilter
from lineal.context.tree import Node, SourceTree, clamp
from lineal.engine import Directory
from lineal.errors import BuildFailed
from lineal.tar.spool import Spool


@dataclass(frozen=True, slots=True)
class CopyItem:
    """One source as written: a path or pattern in `tree`; `unpack` for an `ADD`, which unpacks archives."""

    tree: SourceTree
    path: str
    unpack: bool = False
    path_filter: PathFilter = EVERYTHING
    """The parts of directories that are copied."""
    exact: bool = False
    """`path` is no pattern; and a directory brings its own mode to a destination that does not exist."""


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
    chmod: Chmod | None,
    workspace: Path,
    directories: Sequence[Directory] = (),
    link: bool = False,
) -> AssembledLayer:
    """One layer with the `directories` (those that are missing), the copied items and all directories above them.

    `destination` is as written, `workdir` absolute. Without `chown` a node's own owner counts, which is 0:0 for a
    commit's files. The layer may be empty: a wildcard that matches nothing copies nothing. With `link` the items are
    put onto an empty image, and the result onto the parent, whatever is there. Raises `BuildFailed`."""
    below = LayerBuilder(parent, layer_number)
    for wanted in directories:
        _make(below, wanted)
    target = LayerBuilder(Filesystem.empty(), layer_number) if link else below
    copier = _Copier(target, _owner(parent, layer_number, chown), chmod, workspace)
    where = _where(destination, workdir)
    for item in items:
        copier.copy(item, where)
    return below.cover(target, parent, workspace) if link else below.write(workspace)


def make_directories(
    parent: Filesystem, layer_number: int, directories: Sequence[Directory], workspace: Path
) -> AssembledLayer | None:
    """A layer with the directories that are missing and those above them; None when none is missing."""
    target = LayerBuilder(parent, layer_number)
    for wanted in directories:
        _make(target, wanted)
    return None if target.is_unchanged else target.write(workspace)


def _make(target: LayerBuilder, wanted: Directory) -> None:
    # 0:0 is what a WORKDIR without a USER has: then BuildKit sets no owner, and a setgid parent's group stays.
    owner = (wanted.uid, wanted.gid) if wanted.uid or wanted.gid else None
    target.make_directories(target.resolve(wanted.path), wanted.mode, owner)


def _owner(parent: Filesystem, layers: int, chown: str | None) -> tuple[int, int] | None:
    if not chown:
        return None
    try:
        return parent.owner(chown)
    except LookupError as error:
        if layers and not isinstance(error, AccountFileIsALink):
            # A file that is not there knows no names; only an image without any files is refused.
            return accounts.owner(chown, parent.passwd or b"\n", parent.group or b"\n")
        raise BuildFailed(f"--chown={chown}: {error.args[0]}", id="LN-5008") from error


def _where(destination: str, workdir: str) -> str:
    """The absolute destination; it ends in a slash when it was written as a directory."""
    path = normpath("/" + (destination if destination.startswith("/") else f"{workdir}/{destination}"))
    path = "/" + path.lstrip("/")
    if path == "/" or not (destination in ("", ".") or destination.endswith(("/", "/."))):
        return path
    return path + "/"


def _followed(tree: SourceTree, name: str) -> Node:
    node = glob.follow(tree, name)
    if node is None:
        raise BuildFailed(f"/{name} is a symbolic link to what does not exist.", id="LN-5013")
    return node


class _Copier:
    def __init__(
        self, target: LayerBuilder, owner: tuple[int, int] | None, chmod: Chmod | None, workspace: Path
    ) -> None:
        self._target = target
        self._owner = owner
        self._chmod = chmod
        self._workspace = workspace
        self._spool: Spool | None = None
        self._first: dict[str, LayerEntry] = {}

    def copy(self, item: CopyItem | Inline, where: str) -> None:
        if isinstance(item, Inline):
            place = self._place(where, basename(item.name))
            self._put(place, Node(place, "file", 0o644, len(item.data)), lambda: iter((item.data,)))
            return
        names = [item.path] if item.exact else glob.expand(item.tree, item.path)
        if not names and not glob.may_be_empty(item.tree, item.path):
            raise BuildFailed(f"/{clamp(item.path)} is not there to be copied.", id="LN-5013")
        for name in names:
            node = _followed(item.tree, name)
            # BuildKit looks for hard links in each source by itself.
            self._first = {}
            self._copy(item, node, basename(name), where)

    def _copy(self, item: CopyItem, node: Node, name: str, where: str) -> None:
        if node.kind == "directory":
            self._directory(item, node, where)
        elif item.unpack and node.kind == "file" and archive.is_archive(item.tree.open(node)):
            below = self._target.resolve(where)
            self._target.make_directories(below, 0o755, self._owner)
            self._spool = self._spool or Spool(self._workspace)
            archive.extract(item.tree.open(node), node.path, self._target, below, self._spool, self._owner)
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

    def _directory(self, item: CopyItem, source: Node, where: str) -> None:
        """The contents of a directory. The destination itself keeps its mode, or is made with 0755."""
        place = self._target.resolve(where)
        staged = self._target.staged(place)
        if staged is not None and staged.kind != "directory":
            raise BuildFailed(f"A directory cannot be copied over the file /{place}.", id="LN-5014")
        if item.exact and not where.endswith("/") and not self._target.is_directory(place):
            self._parents(dirname(place))
            self._put(place, source, None)
        self._parents(place)
        skip = len(source.path) + 1 if source.path else 0
        prefix = f"{place}/" if place else ""
        found = item.path_filter.select(source.path, item.tree.walk(source.path))
        # BuildKit follows the links at the top of a root of which it copies a part, though it copies them as links.
        follows = bool(item.path_filter) and not item.exact and clamp(item.path) == ""
        some = False
        for node, meant in found:
            some = True
            if follows and meant and node.kind == "symlink" and "/" not in node.path:
                _followed(item.tree, node.path)
            if meant:
                self._node(item.tree, node, prefix + node.path[skip:])
            else:
                self._leading(node, prefix + node.path[skip:])
        wanted = item.path_filter.include
        if wanted is not None and not some and not glob.has_wildcards(f"{item.path}{wanted}"):
            raise BuildFailed(f"/{clamp(f'{source.path}/{wanted}')} is not there to be copied.", id="LN-5013")

    def _leading(self, node: Node, place: str) -> None:
        """A directory that is copied for what is in it: where there is one already, only the mode changes."""
        there = self._target.directory_at(place)
        if there is None:
            self._put(place, node, None)
        else:
            self._target.directory(place, LayerEntry("directory", node.mode, there.uid, there.gid))

    def _parents(self, path: str) -> None:
        self._target.make_directories(path, self._chmod.parents if self._chmod else 0o755, self._owner)

    def _node(self, tree: SourceTree, node: Node, place: str) -> None:
        self._put(place, node, partial(tree.open, node) if node.kind == "file" else None)

    def _put(self, place: str, node: Node, content: Callable[[], Iterator[bytes]] | None) -> None:
        mode = node.mode
        if self._chmod is not None and node.kind != "symlink":
            mode = self._chmod.apply(mode, directory=node.kind == "directory")
        uid, gid = self._owner or (node.uid, node.gid)
        staged = LayerEntry(
            node.kind,
            mode,
            uid,
            gid,
            node.mtime,
            node.size,
            content,
            node.target,
            node.flag,
            node.device,
            node.xattrs,
        )
        # BuildKit links the names of a file; it copies those of a link or a device.
        if node.inode and node.kind == "file":
            staged = self._first.setdefault(node.inode, staged)
        if node.kind == "directory":
            self._target.directory(place, staged)
        else:
            self._target.put(place, staged)
