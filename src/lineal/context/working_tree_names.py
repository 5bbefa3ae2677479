"""The names of the files in the working tree, for saying that a file is there but not in the commit."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from lineal.context.tree import Kind, Node


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
