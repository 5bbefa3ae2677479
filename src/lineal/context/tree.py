"""A tree of files to copy from, whatever holds it: a commit's context or another stage's layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import field
from posixpath import normpath
from typing import Literal, Protocol

from lineal.value import dataclass

Kind = Literal["file", "directory", "symlink", "special"]

MAX_LINKS = 255
"""Links that are followed in one path, as in BuildKit."""
MAX_ID = (1 << 32) - 2
"""The last uid and gid of Linux."""


def owner_id(number: int) -> int:
    """A uid or gid that somebody else wrote, as a new file gets it from chown(2): the number after the last one means
    "leave it as it is", which is root. Raises `ValueError` for a number that there is not."""
    if not 0 <= number <= MAX_ID + 1:
        raise ValueError(f"the last number of a user or group is {MAX_ID}")
    return 0 if number > MAX_ID else number


def cut_id(number: int) -> int:
    """The uid or gid that is left of any number in the 32 bits that the kernel takes."""
    return owner_id(number & (MAX_ID + 1))


def chown_number(text: str) -> int | None:
    """The uid or gid that BuildKit reads in a part of `--chown` or, for a WORKDIR, of `USER` (parseUID of its
    client/llb/fileop.go); None for a name, which also a number is that 31 bits and a sign do not hold. `root` is 0,
    whatever an image's /etc/passwd says."""
    if text == "root":
        return 0
    if not re.fullmatch(r"[+-]?0*[0-9]{1,10}", text, re.ASCII):
        return None
    number = int(text)
    return cut_id(number) if -(1 << 31) <= number < 1 << 31 else None


@dataclass(frozen=True, slots=True)
class Node:
    """One entry. `path` is relative to the tree's root, without leading slash; the root itself is `""`.
    Names are str with surrogateescape, so that any bytes survive."""

    path: str
    kind: Kind
    mode: int
    """Permission bits (0o7777)."""
    size: int = 0
    uid: int = 0
    gid: int = 0
    target: str = ""
    """Where a symbolic link points."""
    mtime: int | None = None
    """Seconds since the epoch; None for content from git, which has no times."""
    oid: str = ""
    """The git object id, or another key by which the tree finds the content."""
    xattrs: dict[str, str] = field(default_factory=dict)
    """PAX records worth keeping (`SCHILY.xattr.security.capability`)."""
    inode: str = ""
    """Equal for the paths that are hard links of one file; empty where there are no such links."""
    flag: bytes = b""
    """For a device or pipe, its type as tar writes it."""
    device: tuple[int, int] = (0, 0)


class SourceTree(Protocol):
    def lstat(self, path: str) -> Node | None:
        """The node at `path` (no link is followed), None when absent."""

    def children(self, path: str) -> list[str]:
        """Sorted names in a directory; empty when `path` is no directory."""

    def walk(self, path: str) -> Iterator[Node]:
        """Everything below a directory, the directory itself not included: parents before children, sorted."""

    def open(self, node: Node) -> Iterator[bytes]:
        """A file's content in chunks."""


class SingleFile:
    """A `SourceTree` of one file in its root; `content` gives the file's chunks."""

    def __init__(self, node: Node, content: Callable[[], Iterator[bytes]]) -> None:
        self._node = node
        self._content = content

    def lstat(self, path: str) -> Node | None:
        return Node("", "directory", 0o755) if path == "" else self._node if path == self._node.path else None

    def children(self, path: str) -> list[str]:
        return [self._node.path] if path == "" else []

    def walk(self, path: str) -> Iterator[Node]:
        if path == "":
            yield self._node

    def open(self, node: Node) -> Iterator[bytes]:
        del node
        return self._content()


class EmptyTree:
    """A `SourceTree` of a root directory with nothing in it."""

    def lstat(self, path: str) -> Node | None:
        return Node("", "directory", 0o755) if path == "" else None

    def children(self, _path: str) -> list[str]:
        return []

    def walk(self, _path: str) -> Iterator[Node]:
        return iter(())

    def open(self, node: Node) -> Iterator[bytes]:
        raise FileNotFoundError(node.path)


class Unresolvable(Exception):
    """A path whose links lead nowhere; the text is the end of a sentence about it."""


def resolve_links(
    path: str, link_at: Callable[[list[str]], str | None], *, last: bool, deepest: int | None = None
) -> list[str]:
    """The components of a path, seen from the root, once links in it are followed; in the last one only if `last`.

    `link_at` gives the target of the link at some components, None when there is no link. Raises
    `Unresolvable` for too many links, and for more than `deepest` components on the way."""
    done: list[str] = []
    left = _components(path)
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        if deepest is not None and len(done) > deepest:
            raise Unresolvable(f"is too deep: more than {deepest} directories")
        target = link_at(done) if left or last else None
        if target is None:
            continue
        links += 1
        if links > MAX_LINKS:
            raise Unresolvable("has too many symbolic links in it")
        done = [] if target.startswith("/") else done[:-1]
        left += _components(target)
    return done


def _components(path: str) -> list[str]:
    """The components of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def clamp(name: str) -> str:
    """A path as it is seen from the root, `..` never leading above it; no slash at either end, the root is `""`."""
    if ".." not in name and "//" not in name and "./" not in name and "/." not in name and name != ".":
        return name.strip("/")
    return normpath("/" + name).strip("/")
