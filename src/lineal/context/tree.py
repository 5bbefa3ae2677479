"""A tree of files to copy from, whatever holds it: a commit's context or another stage's layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Literal, Protocol

Kind = Literal["file", "directory", "symlink", "special"]

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


def clamp(name: str) -> str:
    """A path as it is seen from the root, `..` never leading above it; no slash at either end, the root is `""`."""
    if ".." not in name and "//" not in name and "./" not in name and "/." not in name and name != ".":
        return name.strip("/")
    return normpath("/" + name).strip("/")
