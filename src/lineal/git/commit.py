"""The files of a commit as people mean them: through Git LFS and submodules."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, fields
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lineal.errors import BadConfiguration, Location
from lineal.git.lfs import Lfs, Pointer, may_point
from lineal.git.links import Followed, follow
from lineal.git.objects import DIRECTORY, SUBMODULE
from lineal.git.repository import Repository, folders_above
from lineal.git.submodules import find
from lineal.value import dataclass


class Contents(Protocol):
    """The contents of files by their object ids."""

    def object(self, oid: str) -> bytes: ...

    def stream(self, oid: str) -> Iterator[bytes]: ...

    def sizes(self, oids: Iterable[str]) -> dict[str, int]: ...

    def pointer(self, path: str, oid: str) -> Pointer | None: ...

    def content(self, path: str, pointer: Pointer) -> Iterator[bytes]: ...


class CommitFiles(Contents, Protocol):
    """The part of a commit that a build context reads. `Commit` has it."""

    @property
    def root(self) -> Path: ...

    def oid(self, path: str) -> str: ...

    def entry(self, path: str) -> tuple[str, str]: ...

    def ignored_by(self, paths: Sequence[str], *, every: bool = False) -> str: ...

    def files_on_disk(self, folder: str) -> list[str]: ...

    def submodule(self, path: str, commit: str) -> Commit: ...


@dataclass(frozen=True)
class Commit(Repository):
    """A repository at a commit: a pointer of Git LFS stands for its content, a submodule for its files."""

    _submodules: dict[tuple[str, str], Commit] = field(default_factory=dict)
    """By the path of the submodule and the commit that is pinned there."""

    @staticmethod
    def of(repository: Repository) -> Commit:
        return Commit(**{field.name: getattr(repository, field.name) for field in fields(Repository)})

    def file(self, path: str, limit: int = sys.maxsize) -> bytes | None:
        """The content of a file of at most `limit` bytes, through the links of the commit; None when there is no file
        at this path.

        Raises `BadConfiguration` for a larger one, and for a link that leads to no file of the commit: to follow it
        further would read what is not committed."""
        if not {"", ".", ".."}.isdisjoint(path.split("/")):
            return None
        found = self.follow(path)
        owner, inside = self._owner(found.path)
        mode, oid = owner.entry(inside)
        if not mode.startswith("100"):
            if found.final and not mode:
                raise BadConfiguration(
                    f"is a symbolic link to {found.path!r}, which the commit does not have.",
                    id="LN-2011",
                    place=Location(found.links[-1]),
                    remedy="Commit that file, or correct the link.",
                )
            return None
        data = _joined(owner.stream(oid), limit, path)
        pointer = owner.pointer(inside, oid) if may_point(data) else None
        return data if pointer is None else _joined(owner.content(inside, pointer), limit, path)

    def has(self, path: str) -> bool:
        """Whether the commit, or a submodule of it, has anything at exactly this path."""
        owner, inside = self._owner(path)
        return bool(owner.entry(inside)[0])

    def follow(self, path: str) -> Followed:
        """What a path means once the links of the commit are followed. Raises `BadConfiguration`."""

        folders: dict[str, tuple[Commit, str, str]] = {"": (self, DIRECTORY, self.tree)}

        def entry(full: str) -> tuple[str, str]:
            # The folder was asked about before: a path of any depth takes linear time.
            folder, _, name = full.rpartition("/")
            owner, kind, oid = folders[folder]
            if kind == SUBMODULE:
                owner = owner.submodule((self.prefix + folder)[len(owner.prefix) :], oid)
                folders[folder] = owner, DIRECTORY, (oid := owner.tree)
            with owner._named():
                found = owner.objects.tree(oid).get(os.fsencode(name), ("", ""))
            if found[0] in (DIRECTORY, SUBMODULE):
                folders[full] = owner, *found
            return found

        def content(full: str, oid: str) -> bytes:
            return folders[full.rpartition("/")[0]][0].object(oid)

        return follow(path, entry, content)

    def _owner(self, path: str) -> tuple[Commit, str]:
        """The repository that has a path, this one or a submodule, and the path as that repository has it."""
        for one in folders_above(path):
            mode, oid = self.entry(one)
            if mode == SUBMODULE:
                return self.submodule(one, oid)._owner(path[len(one) + 1 :])
            if mode != DIRECTORY:
                break
        return self, path

    # --- Git LFS ------------------------------------------------------------------------------------------------

    @cached_property
    def lfs(self) -> Lfs:
        return Lfs(self)

    def pointer(self, path: str, oid: str) -> Pointer | None:
        """The pointer that the object at `path` is, None when it is a file. Raises `BadConfiguration`."""
        return self.lfs.pointer(path, oid)

    def content(self, path: str, pointer: Pointer) -> Iterator[bytes]:
        """The content that the pointer at `path` stands for, in chunks. Raises `BadConfiguration`."""
        return self.lfs.open(path, pointer)

    # --- submodules ---------------------------------------------------------------------------------------------

    def submodule(self, path: str, commit: str) -> Commit:
        """The submodule at `path`, at the commit that is pinned there. Raises `BadConfiguration` when that commit is
        not on this machine."""
        if (path, commit) not in self._submodules:
            self._submodules.setdefault((path, commit), Commit.of(find(self, path, commit)))
        return self._submodules[path, commit]

    def submodules(self) -> dict[str, Commit]:
        """The submodules that have been read so far, and those inside of them, by their paths from here."""
        found = {}
        for (path, _), module in list(self._submodules.items()):
            found[path] = module
            found |= {f"{path}/{name}": inner for name, inner in module.submodules().items()}
        return found

    def close(self) -> None:
        for module in list(self._submodules.values()):
            module.close()
        super().close()


def _joined(chunks: Iterator[bytes], limit: int, path: str) -> bytes:
    parts, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise BadConfiguration(
                f"is larger than {limit >> 10} KiB, which is more than anybody writes.",
                id="LN-1030",
                place=Location(path),
                remedy="Shorten it; what a tool writes belongs into files that the build copies.",
            )
        parts.append(chunk)
    return b"".join(parts)
