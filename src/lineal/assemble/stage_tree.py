"""The files of another stage, read from its layers: only what is asked for, only from where it can be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import basename, dirname

from lineal.assemble.filesystem import Filesystem
from lineal.assemble.selection import Selection
from lineal.context.tree import Node, SourceTree
from lineal.errors import BuildFailed, Unreachable
from lineal.tar.compression import open_layer
from lineal.tar.header import Malformed
from lineal.tar.layer import OPAQUE, WHITEOUT
from lineal.tar.reader import Entry, TarReader
from lineal.tar.spool import Spool
from lineal.tar.writer import TarWriter, padded

_MAX_LINKS = 8


@dataclass(frozen=True, slots=True)
class LayerSource:
    """One layer: its compressed bytes in chunks, and its media type."""

    open: Callable[[], Iterator[bytes]]
    media_type: str


class StageTree:
    """A `SourceTree`. It knows every directory and link of the stage, and those files that were asked for."""

    def __init__(self, nodes: dict[str, Node], spool: Spool) -> None:
        self._nodes = nodes
        self._spool = spool
        self._names: dict[str, list[str]] = {}
        for path in sorted(nodes, key=os.fsencode):
            if path:
                self._names.setdefault(dirname(path), []).append(basename(path))

    @staticmethod
    def read(
        filesystem: Filesystem, layers: Sequence[LayerSource], wanted: Sequence[str], workspace: Path
    ) -> StageTree:
        """The files that the `wanted` sources of a `COPY --from` (patterns as written) mean, links followed, and all
        below.

        Layers are opened from the top one down, not below the one where the wanted directory began, and not when
        every wanted file has been found. Contents go to an unnamed file in `workspace`. Raises `Unreachable`."""
        spool = Spool(workspace)
        found = _Reader(filesystem, layers, spool).read(Selection.of(filesystem, wanted), len(layers) - 1)
        nodes: dict[str, Node] = {
            path: Node(path, "directory", entry.mode, uid=entry.uid, gid=entry.gid)
            for path, entry in filesystem.directories.items()
        }
        for path, target in filesystem.symlinks.items():
            nodes[path] = Node(path, "symlink", 0o777, target=target)
        for path, node in found.items():
            if (node.kind == "directory") == (path in filesystem.directories) and dirname(path) in nodes:
                nodes[path] = node
        return StageTree(nodes, spool)

    def lstat(self, path: str) -> Node | None:
        return self._nodes.get(path)

    def children(self, path: str) -> list[str]:
        return list(self._names.get(path, ()))

    def walk(self, path: str) -> Iterator[Node]:
        for name in self._names.get(path, ()):
            node = self._nodes[f"{path}/{name}" if path else name]
            yield node
            if node.kind == "directory":
                yield from self.walk(node.path)

    def open(self, node: Node) -> Iterator[bytes]:
        return self._spool.read(int(node.oid), node.size)


class _Reader:
    """Reads layers from the top down; what a higher layer has, removes or replaces hides what is below."""

    def __init__(self, filesystem: Filesystem, layers: Sequence[LayerSource], spool: Spool) -> None:
        self._filesystem = filesystem
        self._layers = layers
        self._spool = spool

    def read(self, wanted: Selection, top: int, depth: int = 0) -> dict[str, Node]:
        if depth > _MAX_LINKS:
            raise Unreachable("The hard links of an image's layer go round in circles.", id="LN-5017")
        view = _View()
        links: dict[int, dict[str, str]] = {}
        for number in range(top, -1, -1):
            if not wanted.needs(number, view.nodes):
                continue
            view.below()
            source = self._layers[number]
            try:
                links[number] = self._layer(number, source, wanted, view)
            except Malformed as error:
                raise Unreachable(f"Layer {number} of an image cannot be read: {error}.", id="LN-5017") from error
        for number, names in links.items():
            if names:
                found = self.read(Selection.exactly(set(names.values())), number, depth + 1)
                for path, target in names.items():
                    if target not in found:
                        raise Unreachable(
                            f"/{path} in layer {number} of an image is a hard link to nothing.", id="LN-5017"
                        )
                    inode = f"{number}:{target}"
                    view.nodes[path] = replace(found[target], path=path, inode=inode)
        return view.nodes

    def _layer(self, number: int, source: LayerSource, wanted: Selection, view: _View) -> dict[str, str]:
        """Takes what is wanted from one layer; returns the hard links whose content was not among it."""
        links: dict[str, str] = {}
        reader = TarReader(open_layer(source.open(), source.media_type))
        for entry in reader:
            path = self._place(entry.path)
            name = basename(path)
            if name.startswith(WHITEOUT):
                view.remove(dirname(path), name)
            elif wanted.covers(path) and not view.hides(path):
                links.pop(path, None)
                self._take(path, entry, reader, view, links, number)
        return links

    def _take(
        self, path: str, entry: Entry, reader: TarReader, view: _View, links: dict[str, str], number: int
    ) -> None:
        plain = Node(path, "file", entry.mode, uid=entry.uid, gid=entry.gid, mtime=entry.mtime, xattrs=entry.xattrs)
        if entry.kind == "file":
            offset = self._spool.add(reader.content())
            node = replace(plain, size=entry.size, oid=str(offset))
        elif entry.kind == "directory":
            node = replace(plain, kind="directory")
        elif entry.kind == "symlink":
            node = replace(plain, kind="symlink", mode=0o777, target=entry.target)
        elif entry.kind == "hardlink":
            target = self._place(entry.target)
            target = links.get(target, target)
            first = view.current.get(target)
            if first is None:
                links[path] = target
                node = plain
            else:
                node = view.linked(replace(plain, size=first.size, oid=first.oid), first, f"{number}:{target}")
        else:
            node = replace(plain, kind="special", flag=entry.flag, device=entry.device)
        view.take(node)

    def _place(self, path: str) -> str:
        if dirname(path) in self._filesystem.directories:
            return path
        return self._filesystem.resolve(path, last=False)


class _View:
    """The entries found so far from the top down, and those that hide the layers below the current one."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.current: dict[str, Node] = {}
        self._removed: set[str] = set()
        self._emptied: set[str] = set()
        self._coming: tuple[set[str], set[str]] = (set(), set())
        self._hidden: dict[str, bool] = {}
        self._links: dict[str, list[str]] = {}

    def below(self) -> None:
        """The layer is done: what it removed is hidden in those below."""
        self._removed |= self._coming[0]
        self._emptied |= self._coming[1]
        self._coming = (set(), set())
        self._hidden = {}
        self.current = {}

    def remove(self, parent: str, name: str) -> None:
        if name == OPAQUE:
            self._coming[1].add(parent)
        elif not name.startswith(".wh..wh."):
            self._coming[0].add(f"{parent}/{name[len(WHITEOUT) :]}" if parent else name[len(WHITEOUT) :])

    def take(self, node: Node) -> None:
        self.nodes[node.path] = self.current[node.path] = node
        if node.kind != "directory":
            # A file hides a directory of that name; its own path is hidden by being found.
            self._coming[0].add(node.path)

    def linked(self, node: Node, first: Node, inode: str) -> Node:
        """Another name of a file of the same layer; an engine gives its mode, owner and so on to all of them."""
        inode = first.inode or inode
        names = self._links.setdefault(inode, [first.path])
        if (_owned(node), inode) != (_owned(first), first.inode):
            for path in names:
                if (known := self.current.get(path)) is not None:
                    self.nodes[path] = self.current[path] = replace(node, path=path, inode=inode, xattrs=known.xattrs)
        names.append(node.path)
        return replace(node, inode=inode, xattrs=first.xattrs)

    def hides(self, path: str) -> bool:
        if path in self.current:
            return False
        return path in self.nodes or path in self._removed or (path != "" and self._inside(dirname(path)))

    def _inside(self, directory: str) -> bool:
        """Whether a layer above hides everything in this directory of the layers below."""
        known = self._hidden.get(directory)
        if known is None:
            known = directory in self._removed or directory in self._emptied
            known = known or (directory != "" and self._inside(dirname(directory)))
            self._hidden[directory] = known
        return known


def _owned(node: Node) -> tuple[int, int, int, int | None]:
    return node.mode, node.uid, node.gid, node.mtime


def as_tar(tree: SourceTree, path: str) -> Iterator[bytes]:
    """A directory's contents as an uncompressed tar stream, with paths relative to it; a file as its one entry.

    `path` is a path of the tree without links in it. Memory stays at one chunk, whatever the size."""
    root = tree.lstat(path)
    if root is None:
        raise BuildFailed(f"/{path} does not exist.", id="LN-5013")
    single = root.kind != "directory"
    skip = path.rfind("/") + 1 if single else len(path) + bool(path)
    pending: list[bytes] = []
    tar = TarWriter(pending.append)
    for node in [root] if single else tree.walk(path):
        tar.header(node.path[skip:], node)
        if node.kind == "file":
            yield b"".join(pending)
            pending.clear()
            yield from padded(node.path, node.size, tree.open(node))
        if len(pending) > 256:
            yield b"".join(pending)
            pending.clear()
    tar.finish()
    yield b"".join(pending)
