"""Artifacts: files that an earlier job made in the working tree, and that `lineal-giterminism.yaml` declares.

They stand in a build context as if the commit had them. git's rules for files do not apply to them: neither what it
ignores, nor attributes, nor Git LFS."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock

from lineal.context.wildcards import matches, path_pattern
from lineal.errors import BadConfiguration, BuildFailed
from lineal.git.commit import Commit
from lineal.git.lfs import Pointer
from lineal.git.objects import DIRECTORY, SUBMODULE, SYMLINK
from lineal.git.submodules import AbsentSubmodules
from lineal.value import dataclass

_CHUNK = 1 << 20
_Place = tuple[Commit, str] | None
"""The commit that has a folder, and the folder's path in there; None for a folder that none has."""


@dataclass(frozen=True, slots=True)
class _Artifact:
    """What the working tree has at a path. `inode` and `times` tell whether it is still the same."""

    mode: str
    """As git would write it: `100644`, `100755`, `120000`; empty for what git cannot have."""
    size: int
    inode: tuple[int, int]
    changed: int
    target: bytes = b""

    @staticmethod
    def of(found: os.stat_result, target: bytes = b"") -> _Artifact:
        kind = stat.S_IFMT(found.st_mode)
        regular = "100755" if found.st_mode & stat.S_IXUSR else "100644"
        mode = SYMLINK if kind == stat.S_IFLNK else regular if kind == stat.S_IFREG else ""
        return _Artifact(mode, found.st_size, (found.st_dev, found.st_ino), found.st_mtime_ns, target)


class Artifacts:
    """The files of a working tree that some patterns mean and that its commit does not have. Paths are those of the
    repository, and each file is read and hashed once at most before its content is asked for."""

    def __init__(self, patterns: Sequence[str] = (), checkout: Commit | None = None) -> None:
        """`checkout` is what is checked out, at its HEAD; None where the working tree is not that of this commit."""
        self.patterns = tuple(patterns)
        self._checkout = checkout
        self._oids: dict[str, str] = {}
        self._matched: set[str] = set()
        self._links: dict[str, str] = {}
        self._guard = RLock()

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __contains__(self, path: str) -> bool:
        return bool(self.patterns) and path in self._files

    def below(self, folder: str) -> list[tuple[str, str, str]]:
        """(path, git mode, path) of each artifact below a folder, which is `` or ends with a slash: the path stands
        for an object id, which is known once the content was read."""
        if not self.patterns:
            return []
        return [(path, one.mode or "100644", path) for path, one in self._files.items() if path.startswith(folder)]

    def unmatched(self) -> list[str]:
        """The patterns that mean no file here."""
        self._look()
        return [pattern for pattern in self.patterns if pattern not in self._matched]

    def link_before(self, pattern: str) -> str:
        """A link of the working tree that stands before what a pattern means, empty when there is none."""
        self._look()
        return self._links.get(pattern, "")

    def oid(self, path: str) -> str:
        """The id that git would give the content. Raises `BadConfiguration` for what cannot be an artifact."""
        with self._guard:
            if path not in self._oids:
                found = self._files[path]
                if found.mode == SYMLINK:
                    self.object(path)
                    self._oids[path] = self._digest(len(found.target), [found.target])
                else:
                    self._oids[path] = self._digest(found.size, self._read(path))
            return self._oids[path]

    # --- contents, as `git.commit.Contents` ---------------------------------------------------------------------

    def object(self, oid: str) -> bytes:
        """Where a link leads. Raises `BadConfiguration` when that is outside of the repository."""
        target = self._files[oid].target
        if target.startswith(b"/"):
            raise _refused(f"The artifact {oid} is a link to the absolute path {os.fsdecode(target)!r}.")
        top = os.path.realpath(self._root)
        meant = (os.path.realpath(self._root / oid), os.path.normpath(f"{top}/{oid}/../{os.fsdecode(target)}"))
        if any(one != top and not one.startswith(top + "/") for one in meant):
            raise _refused(f"The artifact {oid} is a link to {os.fsdecode(target)!r}, out of the repository.")
        return target

    def stream(self, oid: str) -> Iterator[bytes]:
        """The content that the checksum was made of. Raises `BuildFailed` at the end when it is another one."""
        hashed = self._hash(self._files[oid].size)
        for chunk in self._read(oid):
            hashed.update(chunk)
            yield chunk
        if hashed.hexdigest() != self.oid(oid):
            raise _changed(oid)

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        return {oid: self._files[oid].size for oid in oids}

    def pointer(self, path: str, oid: str) -> None:
        """No artifact stands for a content of Git LFS."""
        del path, oid

    def content(self, path: str, pointer: Pointer) -> Iterator[bytes]:
        raise AssertionError(f"no pointer: {path} {pointer}")

    # --- the working tree ---------------------------------------------------------------------------------------

    @property
    def _root(self) -> Path:
        assert self._checkout is not None
        return self._checkout.root

    def _look(self) -> None:
        """Make sure that the working tree was searched."""
        assert self._files is not None

    @cached_property
    def _files(self) -> dict[str, _Artifact]:
        checkout = self._checkout
        with self._guard:
            if checkout is None or checkout.root == checkout.git_dir:
                return {}
            return dict(sorted(self._found(checkout)))

    def _found(self, checkout: Commit) -> Iterator[tuple[str, _Artifact]]:
        """What the patterns mean. No link is followed to find it. Where the commit has a path, the commit counts."""
        left: list[tuple[str, _Place, frozenset[str]]] = [("", (checkout, ""), frozenset())]
        while left:
            folder, place, above = left.pop()
            for entry in self._entries(folder, meant=bool(above)):
                path = f"{folder}/{entry.name}" if folder else entry.name
                meant = above | {one for one in self.patterns if one not in above and means(one, path)}
                if entry.is_symlink():
                    self._links |= {one: path for one in self.patterns if one not in meant and leads_below(one, path)}
                if entry.is_dir(follow_symlinks=False):
                    known, below = _enter(place, entry.name)
                    if known in ("", DIRECTORY, SUBMODULE) and (meant or self._may_mean_below(path)):
                        left.append((path, below, meant))
                elif meant and not _enter(place, entry.name)[0]:
                    self._matched |= meant
                    target = os.fsencode(os.readlink(entry.path)) if entry.is_symlink() else b""  # noqa: PTH115
                    yield path, _Artifact.of(entry.stat(follow_symlinks=False), target)

    def _entries(self, folder: str, *, meant: bool) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._root / folder) as found:
                # git has no such names: what is in there is somebody's repository.
                return [entry for entry in found if entry.name.lower() != ".git"]
        except OSError as error:
            if meant:
                raise _refused(f"The artifact {folder} cannot be read: {error.strerror}.") from None
            return []

    def _may_mean_below(self, folder: str) -> bool:
        return any(leads_below(pattern, folder) for pattern in self.patterns)

    def _read(self, path: str) -> Iterator[bytes]:
        """The content of a file, of the size that it had when it was found."""
        artifact = self._files[path]
        if not artifact.mode:
            raise _refused(f"The artifact {path} is no file, folder or link.")
        try:
            handle = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(f"The artifact {path} cannot be read: {error.strerror}.") from None
        left = artifact.size
        with os.fdopen(handle, "rb", buffering=0) as file:
            if _Artifact.of(os.fstat(handle)) != artifact:
                raise _changed(path)
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
            if left or _Artifact.of(os.fstat(handle)) != artifact:
                raise _changed(path)

    def _digest(self, size: int, chunks: Iterable[bytes]) -> str:
        hashed = self._hash(size)
        for chunk in chunks:
            hashed.update(chunk)
        return hashed.hexdigest()

    def _hash(self, size: int) -> hashlib._Hash:
        assert self._checkout is not None
        return hashlib.new(self._checkout.object_format, b"blob %d\0" % size, usedforsecurity=False)


NONE = Artifacts()
"""For a project that declares none."""


def _enter(place: _Place, name: str) -> tuple[str, _Place]:
    """The git mode of a name in a folder, empty where the commit does not have it, and the folder that it is."""
    if place is None:
        return "", None
    commit, folder = place
    path = f"{folder}/{name}" if folder else name
    mode, oid = commit.entry(path)
    if mode != SUBMODULE:
        return mode, (commit, path) if mode == DIRECTORY else None
    try:
        return mode, (commit.submodule(path, oid), "")
    except AbsentSubmodules:
        return mode, None


def means(pattern: str, path: str) -> bool:
    """Whether a pattern means exactly this path. The last name alone tells most others off, and in less time."""
    last = pattern.rpartition("/")[2] or "**"
    return ("**" in last or matches(path_pattern(last), path.rpartition("/")[2])) and matches(
        path_pattern(pattern), path
    )


def leads_below(pattern: str, folder: str) -> bool:
    """Whether a pattern may mean something in a folder."""
    wanted = pattern.removeprefix("./").removesuffix("/").split("/")
    for part, name in zip(wanted, folder.split("/"), strict=False):
        if "**" in part:
            return True
        if not matches(path_pattern(part), name):
            return False
    return True


def _refused(message: str) -> BadConfiguration:
    return BadConfiguration(
        message,
        id="LN-3018",
        remedy="Let the job that makes it make it otherwise, or leave it out with .dockerignore.",
    )


def _changed(path: str) -> BuildFailed:
    return BuildFailed(f"The artifact {path} changed while it was read.", id="LN-3011", remedy="Run Lineal again.")
