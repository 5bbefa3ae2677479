"""Names of files without their contents: of a context, and of the working tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.context.tree import Kind, Node

if TYPE_CHECKING:
    from lineal.context.build_context import BuildContext


class NamesOnly:
    """A context for finding paths in it: `size` is 0 everywhere, and nothing can be opened."""

    def __init__(self, tree: BuildContext) -> None:
        self._tree = tree
        self.children = tree.children

    def lstat(self, path: str) -> Node | None:
        entry = self._tree.entry(path)
        if path == "" or entry is None:
            return Node("", "directory", 0o755) if path == "" else None
        return self._tree.node(path, *entry)

    def walk(self, path: str) -> Iterator[Node]:
        return (node for name in self._tree.below(path) if (node := self.lstat(name)) is not None)

    def open(self, node: Node) -> Iterator[bytes]:
        raise AssertionError(f"names only: {node.path}")


class WorkingTreeNames:
    """The names below a directory of the working tree; nothing outside of it and nothing in a file is looked at."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def lstat(self, path: str) -> Node | None:
        place = self._root / path
        try:
            kind = stat.S_IFMT(place.lstat().st_mode)
            target = os.readlink(place) if kind == stat.S_IFLNK else ""  # noqa: PTH115
        except (OSError, ValueError):
            return None
        named: dict[int, Kind] = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
        return Node(path, named.get(kind, "file"), 0, target=target)

    def children(self, path: str) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._root / path) if path or name != ".git")  # noqa: PTH208
        except OSError:
            return []

    def walk(self, path: str) -> Iterator[Node]:
        raise AssertionError(f"names only: {path}")

    def open(self, node: Node) -> Iterator[bytes]:
        raise AssertionError(f"names only: {node.path}")
