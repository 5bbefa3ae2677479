"""The files of another stage, read from its layers: only what is asked for, only from where it can be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from posixpath import basename, dirname

from lineal.assemble.allowance import Allowance
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_stack import LayerSource, LayerStack
from lineal.assemble.selection import Selection
from lineal.assemble.unpacked_layer import Inode
from lineal.context.tree import Node, SourceTree
from lineal.errors import BuildFailed
from lineal.tar.spool import Spool
from lineal.tar.writer import TarWriter, padded


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
        filesystem: Filesystem,
        layers: Sequence[LayerSource],
        wanted: Sequence[str],
        workspace: Path,
        allowance: Allowance | None = None,
    ) -> StageTree:
        """The files that the `wanted` sources of a `COPY --from` (patterns as written) mean, links followed, and all
        below.

        Layers are opened from the top one down, not below the one where the wanted directory began, and not when
        every wanted file has been found. Contents go to an unnamed file in `workspace`. Raises `Unreachable`."""
        spool = Spool(workspace)
        found = LayerStack(layers, spool, allowance or Allowance()).read(Selection.of(filesystem, wanted))
        nodes: dict[str, Node] = {
            path: Node(path, "directory", entry.mode, uid=entry.uid, gid=entry.gid)
            for path, entry in filesystem.directories.items()
        }
        for path, target in filesystem.symlinks.items():
            nodes[path] = Node(path, "symlink", 0o777, target=target)
        names = Counter(map(id, found.values()))
        for path, inode in found.items():
            if inode.is_directory == (path in filesystem.directories) and dirname(path) in filesystem.directories:
                nodes[path] = _node(path, inode, str(id(inode)) if names[id(inode)] > 1 else "")
        return StageTree(nodes, spool)

    @property
    def newest(self) -> int:
        """When the newest of its files was written, in seconds since 1970."""
        return max((node.mtime or 0 for node in self._nodes.values() if node.kind == "file"), default=0)

    def lstat(self, path: str) -> Node | None:
        return self._nodes.get(path)

    def children(self, path: str) -> list[str]:
        return list(self._names.get(path, ()))

    def walk(self, path: str) -> Iterator[Node]:
        left = self._below(path)
        while left:
            node = left.pop()
            yield node
            if node.kind == "directory":
                left += self._below(node.path)

    def _below(self, path: str) -> list[Node]:
        """The nodes in a directory, the last one first."""
        return [self._nodes[f"{path}/{name}" if path else name] for name in reversed(self._names.get(path, ()))]

    def open(self, node: Node) -> Iterator[bytes]:
        return self._spool.read(int(node.oid), node.size)


def _node(path: str, inode: Inode[int], key: str) -> Node:
    entry = inode.entry
    assert entry.kind != "hardlink"
    return Node(
        path,
        entry.kind,
        0o777 if entry.kind == "symlink" else entry.mode,
        size=entry.size,
        uid=entry.uid,
        gid=entry.gid,
        target=entry.target,
        mtime=entry.mtime,
        oid="" if inode.content is None else str(inode.content),
        xattrs=entry.xattrs,
        inode=key,
        flag=entry.flag if entry.kind == "special" else b"",
        device=entry.device,
    )


def as_tar(tree: SourceTree, path: str) -> Iterator[bytes]:
    """A directory's contents as an uncompressed tar stream, with paths relative to it; a file as its one entry.

    `path` is a path of the tree without links in it. Memory stays at one chunk, whatever the size."""
    root = tree.lstat(path)
    if root is None:
        raise BuildFailed(f"/{path} does not exist.", id="LN-5013")
    single = root.kind != "directory"
    skip = path.rfind("/") + 1 if single else len(path) + bool(path)
    pending: list[bytes] = []
    first: dict[str, str] = {}
    tar = TarWriter(pending.append)
    for node in [root] if single else tree.walk(path):
        name = node.path[skip:]
        known = first.setdefault(node.inode, name) if node.inode else name
        if known != name:
            tar.hardlink(name, known, node)
            continue
        tar.header(name, node)
        if node.kind == "file":
            yield b"".join(pending)
            pending.clear()
            yield from padded(node.path, node.size, tree.open(node))
        if len(pending) > 256:
            yield b"".join(pending)
            pending.clear()
    tar.finish()
    yield b"".join(pending)
