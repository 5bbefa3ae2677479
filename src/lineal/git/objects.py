"""The objects of a repository: git reads the first ones, then dulwich, and git what dulwich cannot read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal.git.cat_file import CatFilePool, MissingObject
from lineal.git.command import run_git
from lineal.git.object_directories import promised
from lineal.git.promisor import Promisor

if TYPE_CHECKING:
    from lineal.git.object_files import ObjectFiles

Entries = dict[bytes, tuple[str, str]]
"""The entries of a tree by name: the mode as `git ls-tree` writes it, such as `040000`, and the object id."""
DIRECTORY, SYMLINK, SUBMODULE = "040000", "120000", "160000"
_ENTRY = rb"(40000|100644|100755|120000|160000) ([^\0]+)\0(.{%d})"
_HEADER = rb"tree (?P<tree>[0-9a-f]{%d})\n(?P<parents>(?:parent [0-9a-f]{%d}\n)*)author "
_CHUNK = 1 << 20
_FEW = 64
"""Objects that git is asked for. dulwich reads more in less time, but importing it takes longer than so many answers
of git."""


class CommitHeader(NamedTuple):
    """The ids that a commit object names."""

    tree: str
    parents: tuple[str, ...]


class Objects:
    """The objects of one repository. Several threads may read at once."""

    def __init__(self, root: Path, environ: dict[str, str], directories: Sequence[Path], object_format: str) -> None:
        """git runs in `root` with `environ`; `directories` are the object directories that git uses then."""
        self._root, self._environ = root, environ
        self._directories, self._format = directories, object_format
        self._git = CatFilePool(root, environ)
        self.promisor = Promisor(root, environ)
        self._trees: dict[str, Entries] = {}
        self._read = 0

    def read(self, oid: str) -> bytes:
        """The content of an object; a partial clone fetches it. Raises `MissingObject`."""
        content = self._from_files(oid)
        return b"".join(self._git_stream(oid)) if content is None else content

    def stream(self, oid: str) -> Iterator[bytes]:
        """The content of an object in chunks of at most 1 MiB. Raises `MissingObject` as `read` does."""
        content = self._from_files(oid)
        if content is None:
            yield from self._git_stream(oid)
        else:
            yield from (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))

    def _from_files(self, oid: str) -> bytes | None:
        """The content of an object that git need not be asked for, else None."""
        self._read += 1
        return self._files.read(oid) if self._read > _FEW else None

    def _git_stream(self, oid: str) -> Iterator[bytes]:
        try:
            yield from self._git.stream(oid)
        except MissingObject:
            # It comes before the first chunk.
            if not self.partial or not self.promisor.fetch([oid]):
                raise
            yield from self._git.stream(oid)

    # --- partial clones -----------------------------------------------------------------------------------------

    @cached_property
    def partial(self) -> bool:
        """Whether the clone left objects at its remote."""
        return promised(self._directories)

    def has(self, oid: str) -> bool:
        """Whether the object can be read without fetching it; for a clone that is not partial, always true."""
        return not self.partial or self.promisor.has(oid) or self._files.has(oid)

    def bring(self, oids: Iterable[str]) -> None:
        """Fetch at once what a partial clone lacks of these objects. Raises `MissingObject`."""
        absent = [oid for oid in oids if not self.has(oid)] if self.partial else []
        if absent and not self.promisor.fetch(absent):
            raise MissingObject(absent[0], self._root)

    def without_fetching(self) -> Objects:
        """The same objects for somebody who can do without those that a partial clone lacks."""
        other = copy(self)
        other.promisor = Promisor(self._root, self._environ, may_ask=False)
        return other

    # --- trees and commits --------------------------------------------------------------------------------------

    def tree(self, oid: str) -> Entries:
        """The entries of a tree. Raises `GitFailed` for a malformed or missing tree."""
        if oid not in self._trees:
            entries = _tree(self.read(oid), len(oid) // 2)
            if entries is None:
                listed = parse_listing(run_git(["ls-tree", "-z", oid], self._root, self._environ))
                entries = {name.encode("utf-8", "surrogateescape"): (mode, entry) for name, mode, entry in listed}
            self._trees[oid] = entries
        return self._trees[oid]

    def commit(self, oid: str) -> CommitHeader:
        """The tree of a commit and the parents that it names, which a shallow clone may lack. Raises `GitFailed`."""
        header = _commit(self.read(oid), len(oid))
        if header is None:
            # Without this setting git leaves out the parents that a shallow clone lacks.
            environ = {**self._environ, "GIT_SHALLOW_FILE": ""}
            asked = ["rev-parse", f"{oid}^{{tree}}", f"{oid}^@"]
            tree, *parents = run_git(asked, self._root, environ).decode().split()
            header = CommitHeader(tree, tuple(parents))
        return header

    def close(self) -> None:
        self._git.close()
        if "_files" in vars(self):
            self._files.close()

    @cached_property
    def _files(self) -> ObjectFiles:
        from lineal.git.object_files import ObjectFiles

        return ObjectFiles(self._directories, self._format)


def parse_listing(out: bytes) -> list[tuple[str, str, str]]:
    """(path, mode, object id) of each record that `git ls-tree -z` printed."""
    entries = []
    for record in out.split(b"\0")[:-1]:
        meta, path = record.split(b"\t", 1)
        mode, _, oid = meta.split(b" ")
        entries.append((path.decode("utf-8", "surrogateescape"), mode.decode(), oid.decode()))
    return entries


def _tree(content: bytes, id_size: int) -> Entries | None:
    """The entries of a tree; None where a mode is not as git writes it, which git refuses or corrects, or where it
    has anything else."""
    found = re.findall(_ENTRY % id_size, content, re.DOTALL)
    if sum(len(mode) + len(name) + id_size + len(b" \0") for mode, name, _ in found) != len(content):
        return None
    return {name: (mode.decode().zfill(len(DIRECTORY)), oid.hex()) for mode, name, oid in found}


def _commit(content: bytes, id_length: int) -> CommitHeader | None:
    """The ids that a commit names; None for one that is written as git would not write it."""
    found = re.match(_HEADER % (id_length, id_length), content)
    if found is None:
        return None
    return CommitHeader(found["tree"].decode(), tuple(found["parents"].decode().split()[1::2]))
