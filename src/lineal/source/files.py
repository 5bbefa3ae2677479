"""The build context as the commit has it: a tree of files after `.dockerignore`."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from e2b_dockerfile_utils import PatternMatcher

from lineal.errors import BadConfiguration, Place
from lineal.source.glob import expand
from lineal.source.repository import Repository
from lineal.source.tree import Kind, Node

_KINDS: dict[str, Kind] = {"040000": "directory", "120000": "symlink", "100644": "file", "100755": "file"}
_SUBMODULE = "160000"
_LFS = b"version https://git-lfs.github.com/spec/"


class ContextTree:
    """A `SourceTree` of a directory of the commit. Paths are relative to the context."""

    def __init__(
        self, repository: Repository, context: str, listing: Sequence[tuple[str, str, str]], ignore: Ignore
    ) -> None:
        """`listing` holds at least the context's entries, as `Repository.listing` gives them."""
        self._repository = repository
        self._listing = listing
        self.context = context
        self.ignore = ignore
        prefix = "" if context in ("", ".") else context + "/"
        inside = ((path[len(prefix) :], mode, oid) for path, mode, oid in listing if path.startswith(prefix))
        self._entries: dict[str, tuple[str, str]] = {path: (mode, oid) for path, mode, oid in ignore.keep(inside)}

    @cached_property
    def _paths(self) -> list[str]:
        return sorted(self._entries)

    def below(self, path: str) -> list[str]:
        """All paths below a directory, sorted, parents before children."""
        if path == "":
            return self._paths
        # "0" is the character after "/": the range holds exactly what starts with `path/`.
        return self._paths[bisect_left(self._paths, path + "/") : bisect_left(self._paths, path + "0")]

    def identity(self, path: str) -> list[tuple[str, str, str]]:
        """What a copy of `path` depends on: sorted (path, git mode, git object id), with a directory counted by
        itself only where nothing in it is left (DESIGN §4). Reads no content."""
        mode, oid = self._entries.get(path, ("040000", ""))
        if mode != "040000":
            return [(path, mode, self._checked(path, mode, oid))]
        found = []
        for name in self.below(path):
            mode, oid = self._entries[name]
            if mode != "040000":
                found.append((name, mode, self._checked(name, mode, oid)))
            elif not self.below(name):
                found.append((name, mode, ""))
        return found

    def _checked(self, path: str, mode: str, oid: str) -> str:
        if mode == _SUBMODULE:
            raise BadConfiguration(
                "is a submodule; Lineal does not read the content of submodules yet.",
                place=Place(self._full(path)),
                remedy="Exclude it with .dockerignore, or copy the files into the repository.",
            )
        return oid

    def missing(self, pattern: str) -> str:
        """Why nothing matches a source pattern, and what to do: the end of an error message."""
        if self.ignore.file and expand(
            ContextTree(self._repository, self.context, self._listing, Ignore.none()), pattern
        ):
            return f"it is excluded by {self.ignore.file}."
        if expand(OnDisk(self._repository.root / self.context), pattern):
            return "it is in the working tree, but not in the commit. Run `git add` and `git commit` first."
        below = "" if self.context in ("", ".") else f", below {self.context!r}"
        return f"there is no such file in the commit{below}."

    def _full(self, path: str) -> str:
        return path if self.context in ("", ".") else f"{self.context}/{path}"

    def names(self) -> Names:
        """The same tree for whoever looks for paths and reads nothing: sizes are not asked for."""
        return Names(self)

    # --- SourceTree ---------------------------------------------------------------------------------------------

    def lstat(self, path: str) -> Node | None:
        if path == "":
            return Node("", "directory", 0o755)
        entry = self._entries.get(path)
        return None if entry is None else self.node(path, *entry, self._sizes([entry]))

    def entry(self, path: str) -> tuple[str, str] | None:
        """The git mode and object id at a path."""
        return self._entries.get(path)

    def children(self, path: str) -> list[str]:
        return self._children.get(path, [])

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for path in self._paths:
            parent, _, name = path.rpartition("/")
            children.setdefault(parent, []).append(name)
        return children

    def walk(self, path: str) -> Iterator[Node]:
        paths = self.below(path)
        sizes = self._sizes([self._entries[name] for name in paths])
        for name in paths:
            yield self.node(name, *self._entries[name], sizes)

    def open(self, node: Node) -> Iterator[bytes]:
        for chunk in self._repository.stream(node.oid):
            if node.size < 1024 and chunk.startswith(_LFS):
                raise BadConfiguration(
                    "is a Git LFS pointer; Lineal does not fetch LFS content yet.",
                    place=Place(self._full(node.path)),
                    remedy="Store the file in git itself or download it in a RUN.",
                )
            yield chunk

    def _sizes(self, entries: list[tuple[str, str]]) -> dict[str, int]:
        return self._repository.sizes(oid for mode, oid in entries if mode.startswith("100"))

    def node(self, path: str, mode: str, oid: str, sizes: dict[str, int]) -> Node:
        self._checked(path, mode, oid)
        kind = _KINDS.get(mode, "file")
        if kind == "symlink":
            target = self._repository.object(oid).decode("utf-8", "surrogateescape")
            return Node(path, kind, 0o777, target=target, oid=oid)
        permissions = 0o644 if kind == "file" and mode != "100755" else 0o755
        return Node(path, kind, permissions, size=sizes.get(oid, 0), oid=oid)


class Names:
    """A context for finding paths in it: `size` is 0 everywhere, and nothing can be opened."""

    def __init__(self, tree: ContextTree) -> None:
        self._tree = tree
        self.children = tree.children

    def lstat(self, path: str) -> Node | None:
        entry = self._tree.entry(path)
        if path == "" or entry is None:
            return Node("", "directory", 0o755) if path == "" else None
        return self._tree.node(path, *entry, {})

    def walk(self, path: str) -> Iterator[Node]:
        return (node for name in self._tree.below(path) if (node := self.lstat(name)) is not None)

    def open(self, node: Node) -> Iterator[bytes]:
        raise AssertionError(f"names only: {node.path}")


class OnDisk:
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


class Ignore:
    """The patterns of a `.dockerignore`, applied to a whole listing in one pass.

    The library's matcher starts at the root for every path; here each directory's state is computed once, and a
    directory that no pattern can reach is not matched at all: 100,000 files stay under half a second."""

    def __init__(self, text: str, *, file: str) -> None:
        try:
            self._matcher = PatternMatcher(text.removeprefix("\ufeff").split("\n"))
        except ValueError as error:
            raise BadConfiguration(str(error) + ".", place=Place(file)) from None
        self.file = file

    @staticmethod
    def none() -> Ignore:
        return Ignore("", file=".dockerignore")

    def excludes(self, path: str) -> bool:
        return bool(self._matcher.patterns) and self._matcher.matches(path)

    def keep(self, entries: Iterator[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        """The entries that are not excluded, and the directories that lead to them. Parents must come first."""
        patterns = self._matcher._patterns
        if not patterns:
            return list(entries)
        states: dict[str, list[bool] | None] = {"": [False] * len(patterns)}
        excluded_directories: dict[str, tuple[str, str, str]] = {}
        kept: dict[str, tuple[str, str, str]] = {}
        for entry in entries:
            path, mode, _ = entry
            parent = path.rpartition("/")[0]
            above = states.get(parent)
            matched, state = False, None
            if above is not None:
                matched, state = self._match(path, above)
            if mode == "040000":
                states[path] = state if state is not None and self._reachable(path, state) else None
                if matched:
                    excluded_directories[path] = entry
                    if state is not None:
                        states[path] = state
                    continue
            elif matched:
                continue
            while parent in excluded_directories:
                kept.setdefault(parent, excluded_directories.pop(parent))
                parent = parent.rpartition("/")[0]
            kept[path] = entry
        return list(kept.values())

    def _match(self, path: str, above: list[bool]) -> tuple[bool, list[bool]]:
        """One level of moby's `MatchesUsingParentResults`: whether `path` is excluded, and each pattern's state."""
        matched = False
        state = []
        for pattern, hit in zip(self._matcher._patterns, above, strict=True):
            if not hit:
                if pattern.exclusion != matched:
                    state.append(False)
                    continue
                hit = pattern.match(path)
            state.append(hit)
            if hit:
                matched = not pattern.exclusion
        return matched, state

    def _reachable(self, directory: str, state: list[bool]) -> bool:
        """Whether any pattern can still say something about paths below `directory`."""
        if any(state):
            return True
        segments = directory.split("/")
        # `[^x]` also matches a slash.
        return any(
            self._matcher._may_match_under(pattern, segments) or any("[" in part for part in pattern.dirs)
            for pattern in self._matcher._patterns
        )
