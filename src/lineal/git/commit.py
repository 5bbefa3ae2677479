"""The files of a commit as people mean them: through Git LFS and submodules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lineal.errors import BadConfiguration, Location
from lineal.git.lfs import Lfs, Pointer, may_point
from lineal.git.objects import SUBMODULE, SYMLINK
from lineal.git.repository import Repository, folders_above
from lineal.git.submodules import find


class CommitFiles(Protocol):
    """The part of a commit that a build context reads. `Commit` has it."""

    @property
    def root(self) -> Path: ...

    def oid(self, path: str) -> str: ...

    def object(self, oid: str) -> bytes: ...

    def stream(self, oid: str) -> Iterator[bytes]: ...

    def sizes(self, oids: Iterable[str]) -> dict[str, int]: ...

    def pointer(self, path: str, oid: str) -> Pointer | None: ...

    def content(self, path: str, pointer: Pointer) -> Iterator[bytes]: ...

    def submodule(self, path: str, commit: str) -> Commit: ...


@dataclass(frozen=True)
class Commit(Repository):
    """A repository at a commit: a pointer of Git LFS stands for its content, a submodule for its files."""

    _submodules: dict[tuple[str, str], Commit] = field(default_factory=dict)
    """By the path of the submodule and the commit that is pinned there."""

    @staticmethod
    def of(repository: Repository) -> Commit:
        return Commit(**{field.name: getattr(repository, field.name) for field in fields(Repository)})

    def file(self, path: str) -> bytes | None:
        """The content of a file, None when there is no file at this path.

        Raises `BadConfiguration` for a symbolic link: to follow it would read a file that nobody named."""
        mode, oid = self.entry(path)
        if mode.startswith("100"):
            data = self.object(oid)
            pointer = self.pointer(path, oid) if may_point(data) else None
            return data if pointer is None else b"".join(self.content(path, pointer))
        for one in [path] if mode else folders_above(path):
            mode, oid = self.entry(one)
            if mode == SUBMODULE and one != path:
                return self.submodule(one, oid).file(path[len(one) + 1 :])
            if mode == SYMLINK:
                raise BadConfiguration(
                    "is a symbolic link in the commit, and Lineal does not follow links to the files that it reads.",
                    id="LN-2011",
                    place=Location(self.prefix + one),
                    remedy="Name the file that it points at, or commit a copy.",
                )
        return None

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
