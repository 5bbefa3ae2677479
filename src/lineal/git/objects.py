"""The objects of a repository: dulwich reads them, and git reads what dulwich cannot or reads in another way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal.git.cat_file import CatFilePool, MissingObject
from lineal.git.command import run_git
from lineal.git.promisor import Promisor

if TYPE_CHECKING:
    from lineal.git.object_files import ObjectFiles

Entries = dict[bytes, tuple[str, str]]
"""The entries of a tree by name: the mode as `git ls-tree` writes it, such as `040000`, and the object id."""
DIRECTORY, SYMLINK, SUBMODULE = "040000", "120000", "160000"
_MODES = {int(mode, 8): mode for mode in (DIRECTORY, SYMLINK, SUBMODULE, "100644", "100755")}
_CHUNK = 1 << 20


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

    def read(self, oid: str) -> bytes:
        """The content of an object; a partial clone fetches it. Raises `MissingObject`."""
        content = self._files.read(oid)
        return b"".join(self._git_stream(oid)) if content is None else content

    def stream(self, oid: str) -> Iterator[bytes]:
        """The content of an object in chunks of at most 1 MiB. Raises `MissingObject` as `read` does."""
        content = self._files.read(oid)
        if content is None:
            yield from self._git_stream(oid)
        else:
            yield from (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))

    def _git_stream(self, oid: str) -> Iterator[bytes]:
        try:
            yield from self._git.stream(oid)
        except MissingObject:
            # It comes before the first chunk.
            if not self.partial or not self.promisor.fetch([oid]):
                raise
            yield from self._git.stream(oid)

    # --- partial clones -----------------------------------------------------------------------------------------

    @property
    def partial(self) -> bool:
        """Whether the clone left objects at its remote."""
        return self._files.promised

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
        header = _commit(self.read(oid))
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
    """The entries of a tree; None unless git reads them in the same way.

    dulwich takes modes that git refuses or corrects, such as `+40000` or `100664`. git writes these with fewer bytes
    or never. So only the modes that git writes are taken, and only if together they have the length of the tree."""
    from dulwich.errors import ObjectFormatException
    from dulwich.objects import parse_tree

    try:
        found = list(parse_tree(content, id_size))
    except (ObjectFormatException, ValueError):
        return None
    if any(mode not in _MODES or not name for name, mode, _ in found):
        return None
    if sum(len(f"{mode:o} ") + len(name) + len(b"\0") + id_size for name, mode, _ in found) != len(content):
        return None
    return {name: (_MODES[mode], oid.decode()) for name, mode, oid in found}


def _commit(content: bytes) -> CommitHeader | None:
    """The ids that a commit names; None for a commit without an author or with lines that dulwich cannot read."""
    from dulwich.objects import Commit

    try:
        found = Commit.from_string(content)
        if found.author is None or found.tree is None:
            return None
        return CommitHeader(found.tree.decode().lower(), tuple(parent.decode().lower() for parent in found.parents))
    except Exception:  # noqa: BLE001 (a malformed line ends in whatever Python raises for it)
        return None
