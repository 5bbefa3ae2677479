"""The build context as the commit has it: a tree of files after `.dockerignore`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cached_property
from threading import RLock

from lineal.context.artifacts import NONE, Artifacts
from lineal.context.dockerignore import Ignore
from lineal.context.listing import Listing
from lineal.context.tree import Kind, Node
from lineal.errors import BadConfiguration
from lineal.git.commit import Commit, CommitFiles, Contents
from lineal.git.lfs import AttributeFiles
from lineal.git.repository import folders_above
from lineal.git.submodules import AbsentSubmodules
from lineal.git.submodules import listing as submodule_listing

_KINDS: dict[str, Kind] = {
    "040000": "directory", "160000": "directory", "120000": "symlink", "100644": "file", "100755": "file",
}  # fmt: skip
_SUBMODULE = "160000"
_POINTER = 1024


def no_submodule(path: str) -> bool:
    """No submodule counts as an empty folder."""
    del path
    return False


class BuildContext:
    """A `SourceTree` of a directory of the commit, with the artifacts in it. Paths are relative to the context.

    The files of a submodule stand in it as if the commit itself had them. They are brought in when something asks for
    them: a submodule that nothing reads need not be on this machine."""

    def __init__(
        self, repository: CommitFiles, context: str, listing: Listing, ignore: Ignore,
        empty: Callable[[str], bool] = no_submodule, artifacts: Artifacts = NONE,
    ) -> None:  # fmt: skip
        """`listing` holds at least the context's entries. `empty` tells which submodules count as empty folders, by
        their paths in the outermost repository."""
        self.repository = repository
        self.artifacts = artifacts
        self._empty = empty
        self._listing = listing
        self.context = context
        self.ignore = ignore
        self._guard = RLock()
        self.submodules: dict[str, Commit] = {}
        """The submodules that have been read so far, by their path in the outermost repository."""
        self._emptied: set[str] = set()
        self._links: dict[str, str] = {}
        self._index = _Index({})
        prefix = self.full("")
        while around := next((one for one in listing.submodules if prefix.startswith(one[0] + "/")), None):
            self._emptied |= {around[0]} if empty(around[0]) else set()
            listing = Listing([] if empty(around[0]) else self._enter(around[0], around[2]))
        entries = [(path[len(prefix) :], mode, oid) for path, mode, oid in listing.below(prefix.removesuffix("/"))]
        self._add(self._with_artifacts(entries, ""))

    # --- submodules ---------------------------------------------------------------------------------------------

    def _enter(self, full: str, commit: str) -> list[tuple[str, str, str]]:
        """The listing of a submodule. From now on its own repository answers for the files in it."""
        owner, path = self._repository_of(full)
        module = owner.submodule(path, commit)
        self.submodules[full] = module
        return submodule_listing(module)

    def _owner(self, full: str) -> tuple[Contents, str]:
        """What holds the content of a path of the outermost repository, and the path as that has it."""
        return (self.artifacts, full) if full in self.artifacts else self._repository_of(full)

    def _repository_of(self, full: str) -> tuple[CommitFiles, str]:
        """The repository that a path of the outermost repository is in, and the path as that repository has it."""
        place = full
        while self.submodules and (place := place.rpartition("/")[0]):
            if place in self.submodules:
                return self.submodules[place], full[len(place) + 1 :]
        return self.repository, full

    def _add(self, entries: list[tuple[str, str, str]]) -> None:
        """Add the entries that `.dockerignore` does not exclude. Parents come before their children."""
        emptied = {path for path, mode, _ in entries if mode == _SUBMODULE and self._empty(self.full(path))}
        if emptied:
            self._emptied |= {self.full(path) for path in emptied}
            entries = [(path, "040000", "") if path in emptied else (path, mode, oid) for path, mode, oid in entries]
        kept = {path: (mode, oid) for path, mode, oid in self.ignore.keep(iter(entries))}
        links = {
            path: oid for path, mode, oid in entries
            if mode == _SUBMODULE and (path in kept or self.ignore.may_keep_below(path))
        }  # fmt: skip
        # Others may be reading: they see all of it or nothing.
        self._index = _Index(self._index.entries | kept) if self._index.entries else _Index(kept)
        self._links |= links

    def _with_artifacts(self, entries: list[tuple[str, str, str]], folder: str) -> list[tuple[str, str, str]]:
        """Entries below a folder, and the artifacts there; those in a submodule come with its own entries."""
        start = len(self.full(""))
        found = [(path[start:], mode, key) for path, mode, key in self.artifacts.below(self.full(folder))]
        if not found:
            return entries
        known = {path for path, _, _ in entries}
        links = [path for path, mode, _ in entries if mode == _SUBMODULE and not self._empty(self.full(path))]
        added: list[tuple[str, str, str]] = []
        for path, mode, key in found:
            if not any(_inside(path, link) for link in links):
                above = [one for one in folders_above(path) if one.startswith(folder) and one not in known]
                known.update(above)
                added += [*((one, "040000", "") for one in above), (path, mode, key)]
        return entries + added

    def _bring(self, path: str, *, below: bool = False, names: bool = False) -> _Index:
        """The index, with the submodules that an answer about `path` depends on: the one that `path` lies in, with
        `below` all below it, with `names` those that may change which names are in it."""
        if not self._links:
            return self._index
        with self._guard:
            absent: dict[str, tuple[tuple[str, str], ...]] = {}
            while link := next((one for one in self._links if one not in absent
                                and self._matters(one, path, below, names)), None):  # fmt: skip
                commit = self._links.pop(link)
                start = len(self.full(""))
                try:
                    inside = [(name[start:], mode, oid) for name, mode, oid in self._enter(self.full(link), commit)]
                except BadConfiguration as error:
                    self._links[link] = commit
                    if not isinstance(error, AbsentSubmodules):
                        raise
                    absent[link] = error.pins
                    continue
                above = [link[:at] for at, letter in enumerate(link) if letter == "/"]
                folders = [(folder, "040000", "") for folder in (*above, link)]
                self._add([*folders, *self._with_artifacts(inside, link + "/")])
            if absent:
                raise AbsentSubmodules([pin for pins in absent.values() for pin in pins])
            return self._index

    def _matters(self, link: str, path: str, below: bool, names: bool) -> bool:
        if _inside(path, link) or (path == link and (below or names)):
            return True
        if path != "" and path != link and not _inside(link, path):
            return False
        # A folder that .dockerignore excludes is there only if something in it is not.
        return (
            below or (names and link not in self._index.entries) or (path != "" and path not in self._index.entries)
        )

    # --- what is in it ------------------------------------------------------------------------------------------

    def below(self, path: str) -> list[str]:
        """All paths below a directory, sorted, parents before children."""
        paths = self._bring(path, below=True).paths
        if path == "":
            return paths
        # "0" is the character after "/": the range holds exactly what starts with `path/`.
        return paths[bisect_left(paths, path + "/") : bisect_left(paths, path + "0")]

    def files(self) -> list[str]:
        """The files and links that have been read so far: those of submodules may be missing."""
        return [path for path, (mode, _) in self._index.entries.items() if mode not in ("040000", _SUBMODULE)]

    def identity(self, path: str) -> list[tuple[str, str, str]]:
        """The entries that a copy of `path` depends on, sorted: (path, git mode, git object id). A directory is an
        entry of its own only if it is empty after `.dockerignore` (DESIGN §4). Only LFS pointers are opened."""
        below = self.below(path)
        entries = self._index.entries
        mode, oid = entries.get(path, ("040000", ""))
        if mode != "040000":
            return [(path, mode, self._content(path, mode, oid))]
        found = []
        for name in below:
            mode, oid = entries[name]
            if mode != "040000":
                found.append((name, mode, self._content(name, mode, oid)))
            elif not self.below(name):
                found.append((name, mode, ""))
        return found

    def _content(self, path: str, mode: str, oid: str) -> str:
        """The object id of a file; for an LFS pointer the id of the content that it stands for, because attributes
        alone can make the same object mean another content."""
        owner, inside = self._owner(self.full(path))
        if owner is self.artifacts:
            return self.artifacts.oid(inside)
        if not mode.startswith("100"):
            return oid
        if owner is self.repository and not self._attributes.name_lfs(inside):
            return oid
        pointer = owner.pointer(inside, oid)
        return oid if pointer is None else f"lfs:{pointer.oid}"

    @cached_property
    def _attributes(self) -> AttributeFiles:
        """The .gitattributes that apply to the context."""
        inside = self._listing.attribute_files
        below = self.full("")

        def find(path: str) -> str:
            return inside.get(path, "") if path.startswith(below) else self.repository.oid(path)

        return AttributeFiles(self.repository.object, find)

    def unfiltered(self) -> BuildContext:
        """The same context as if there were no `.dockerignore`."""
        return BuildContext(self.repository, self.context, self._listing, Ignore.none(), self._empty, self.artifacts)

    def counts_as_empty(self, path: str) -> bool:
        """Whether a path of the outermost repository is or lies in a submodule that counts as an empty folder."""
        return any(one in self._emptied for one in (*folders_above(path), path))

    def full(self, path: str) -> str:
        """A path of the context as the outermost repository has it."""
        return path if self.context in ("", ".") else f"{self.context}/{path}"

    def names(self) -> NamesOnly:
        """The same tree for finding paths: it does not ask git for sizes."""
        return NamesOnly(self)

    # --- SourceTree ---------------------------------------------------------------------------------------------

    def lstat(self, path: str) -> Node | None:
        if path == "":
            return Node("", "directory", 0o755)
        entry = self.entry(path)
        return None if entry is None else self.node(path, *entry, self._sizes([path]).get(path, 0))

    def entry(self, path: str) -> tuple[str, str] | None:
        """The git mode and object id at a path."""
        return self._bring(path).entries.get(path)

    def children(self, path: str) -> list[str]:
        return self._bring(path, names=True).children.get(path, [])

    def walk(self, path: str) -> Iterator[Node]:
        paths = self.below(path)
        sizes = self._sizes(paths)
        for name in paths:
            yield self.node(name, *self._index.entries[name], sizes.get(name, 0))

    def open(self, node: Node) -> Iterator[bytes]:
        owner, path = self._owner(self.full(node.path))
        pointer = owner.pointer(path, node.oid)
        return owner.stream(node.oid) if pointer is None else owner.content(path, pointer)

    def _sizes(self, paths: list[str]) -> dict[str, int]:
        """The sizes of the files among some paths."""
        asked: dict[int, list[tuple[str, str, str]]] = {}
        owners: dict[int, Contents] = {}
        for path in paths:
            mode, oid = self._index.entries[path]
            if mode.startswith("100"):
                owner, inside = self._owner(self.full(path))
                owners[id(owner)] = owner
                asked.setdefault(id(owner), []).append((path, inside, oid))
        sizes = {}
        for key, files in asked.items():
            owner = owners[key]
            known = owner.sizes(oid for _, _, oid in files)
            for path, inside, oid in files:
                pointer = owner.pointer(inside, oid) if known[oid] < _POINTER else None
                sizes[path] = known[oid] if pointer is None else pointer.size
        return sizes

    def node(self, path: str, mode: str, oid: str, size: int = 0) -> Node:
        kind = _KINDS.get(mode, "file")
        if kind == "symlink":
            owner, _ = self._owner(self.full(path))
            return Node(path, kind, 0o777, target=owner.object(oid).decode("utf-8", "surrogateescape"), oid=oid)
        permissions = 0o644 if kind == "file" and mode != "100755" else 0o755
        return Node(path, kind, permissions, size=size, oid=oid)


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


class _Index:
    """The entries by path at one time, and the lists that are derived from them."""

    def __init__(self, entries: dict[str, tuple[str, str]]) -> None:
        self.entries = entries

    @cached_property
    def paths(self) -> list[str]:
        return sorted(self.entries)

    @cached_property
    def children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for path in self.paths:
            parent, _, name = path.rpartition("/")
            children.setdefault(parent, []).append(name)
        return children


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder + "/")
