"""Facts, objects and status of the git repository that is built."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from lineal.errors import BadConfiguration, Location
from lineal.git.command import GitFailed, git_environment, run_git, text_of, with_config
from lineal.git.lfs import NO_FILTER, Lfs
from lineal.git.objects import CatFilePool, Entries, entries_of, no_object

_NULL = b"\0"
_DIRECTORY, _SYMLINK, _SUBMODULE = "40000", "120000", "160000"


@dataclass(frozen=True, slots=True)
class Change:
    """A path of the working tree that differs from the commit: `modified`, `added`, `deleted` or `untracked`; for a
    submodule also `checked out at another commit`."""

    path: str
    what: str
    oid: str = ""
    """The commit's object there, where only the content differs."""


@dataclass(frozen=True)
class Repository:
    """A git repository and the commit of it that is built. Nothing here writes to it."""

    root: Path
    git_dir: Path
    commit: str
    tree: str
    branch_name: str | None
    shallow: bool
    object_format: str
    environ: dict[str, str]
    prefix: str = ""
    """Where a submodule is in the outermost repository, with a slash at the end."""
    _submodules: dict[tuple[str, str], Repository] = field(default_factory=dict)
    _readers: CatFilePool = field(default_factory=CatFilePool)
    _directories: dict[str, Entries] = field(default_factory=dict)

    @staticmethod
    def open(start: Path, environ: dict[str, str] | None = None) -> Repository:
        """The repository that contains `start`, at its HEAD. Raises `BadConfiguration` when there is none."""
        root = _find_root(start)
        env = git_environment(root, dict(os.environ) if environ is None else environ)
        facts = ["rev-parse", "--is-shallow-repository", "--show-object-format"]
        # Not --abbrev-ref: beside a tag of the same name it says `heads/main`. The last may have any character in it.
        head = ["HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD", "--absolute-git-dir"]
        try:
            found = text_of(run_git([*facts, *head], root, env))
        except GitFailed:
            try:
                run_git(facts, root, env)
            except GitFailed as error:
                what = f"{root} has a .git, but git cannot use it ({error.message})"
                raise BadConfiguration(what, remedy="Repair it, or clone it again.") from None
            raise BadConfiguration(
                f"The git repository {root} has no commit yet.",
                remedy="Lineal builds commits: run `git add` and `git commit` first.",
            ) from None
        shallow, object_format, commit, tree, branch, git_dir = found.split("\n", 5)
        return Repository(
            root=root,
            git_dir=Path(git_dir),
            commit=commit,
            tree=tree,
            branch_name=branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else None,
            shallow=shallow == "true",
            object_format=object_format,
            environ=env,
        )

    # --- facts for the pipeline context -------------------------------------------------------------------------

    def head(self) -> str:
        return self.commit

    def branch(self) -> str | None:
        return self.branch_name

    def parents(self, commit: str) -> tuple[str, ...]:
        """The parents that the commit object names, also where a shallow clone has cut them off."""
        header = self.object(commit).split(b"\n\n", 1)[0]
        return tuple(line[7:].decode() for line in header.split(b"\n") if line.startswith(b"parent "))

    def peel(self, rev: str) -> str | None:
        """The commit that a tag, branch or id stands for, None when it is not here."""
        try:
            return (
                self.run("rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}").decode().strip()
            )
        except GitFailed:
            return None

    def tags_at_head(self) -> list[str]:
        out = self.run("for-each-ref", f"--points-at={self.commit}", "--format=%(refname:strip=2)", "refs/tags")
        return text_of(out).split("\n") if out else []

    def at(self, commit: str) -> Repository | None:
        """The same repository with another commit to read, None when that commit is not here."""
        if self.peel(commit) is None:
            return None
        tree = self.object(commit).split(b"\n", 1)[0].removeprefix(b"tree ").decode()
        return replace(self, commit=commit, tree=tree)

    # --- content ------------------------------------------------------------------------------------------------

    def object(self, oid: str) -> bytes:
        return b"".join(self.stream(oid))

    def stream(self, oid: str) -> Iterator[bytes]:
        """An object's content in chunks of at most 1 MiB. Several threads may stream at once."""
        return self._readers.stream(oid, self.root, self.environ)

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Sizes in bytes of many objects with one process."""
        wanted = sorted(set(oids))
        if not wanted:
            return {}
        out = self.run("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin="\n".join(wanted).encode())
        lines = out.split(b"\n")
        for oid, line in zip(wanted, lines, strict=False):
            if line.endswith(b"missing"):
                raise no_object(oid, self.root)
        return {oid: int(line) for oid, line in zip(wanted, lines, strict=False)}

    def listing(self, prefixes: Sequence[str] = ()) -> list[tuple[str, str, str]]:
        """(path, mode, object id) of everything in the commit, directories included, parents before children.

        `prefixes` limits it to some directories; paths stay relative to the root."""
        paths = [prefix for prefix in prefixes if prefix not in ("", ".")]
        whole = len(paths) < len(prefixes) or not paths
        out = self.run(
            "ls-tree", "-r", "-t", "-z", "--full-tree", self.tree, "--", *([] if whole else sorted(set(paths)))
        )
        entries = _entries(out)
        absent = [] if whole else [path for path in paths if b"\t" + os.fsencode(path) + _NULL not in out]
        above = {one for path in absent for one in _above(path)}
        if above:
            # git says nothing about paths inside of a submodule: the submodule itself is what there is.
            found = _entries(self.run("ls-tree", "-z", "--full-tree", self.tree, "--", *sorted(above)))
            entries += [entry for entry in found if entry[1] == _SUBMODULE and entry not in entries]
        return entries

    def file(self, path: str) -> bytes | None:
        """A file's content in the commit, None when there is no file at this path.

        Raises `BadConfiguration` for a symbolic link: following it would read a file that nobody named."""
        mode, oid = self._entry(path)
        if mode.startswith("100"):
            data = self.object(oid)
            pointer = self.lfs.pointer(path, oid) if Lfs.may_point(data) else None
            return data if pointer is None else b"".join(self.lfs.open(path, pointer))
        for one in [path] if mode else _above(path):
            mode, oid = self._entry(one)
            if mode == _SUBMODULE and one != path:
                return self.submodule(one, oid).file(path[len(one) + 1 :])
            if mode == _SYMLINK:
                raise BadConfiguration(
                    "is a symbolic link in the commit, and Lineal does not follow links to the files that it reads.",
                    place=Location(self.prefix + one), remedy="Name the file that it points at, or commit a copy.",
                )  # fmt: skip
        return None

    def oid(self, path: str) -> str:
        """The object of a file in the commit, empty when there is none at this path."""
        mode, oid = self._entry(path)
        return oid if mode.startswith("100") else ""

    @cached_property
    def lfs(self) -> Lfs:
        return Lfs(self)

    def submodule(self, path: str, commit: str) -> Repository:
        """The repository of the submodule at `path`, at the commit that is pinned there. Raises `BadConfiguration`
        when that is not on this machine."""
        if (path, commit) not in self._submodules:
            from lineal.git.submodules import find

            self._submodules.setdefault((path, commit), find(self, path, commit))
        return self._submodules[path, commit]

    def submodules(self) -> dict[str, Repository]:
        """Those that have been read so far, and those inside of them, by their paths from here."""
        found = {}
        for (path, _), repository in list(self._submodules.items()):
            found[path] = repository
            found |= {f"{path}/{name}": inner for name, inner in repository.submodules().items()}
        return found

    def _entry(self, path: str) -> tuple[str, str]:
        """(mode, object id) of exactly this path, empty texts when the commit has none."""
        mode, oid = _DIRECTORY, self.tree
        for name in path.split("/"):
            mode, oid = self._directory(oid).get(os.fsencode(name), ("", "")) if mode == _DIRECTORY else ("", "")
        return mode, oid

    def _directory(self, oid: str) -> Entries:
        if oid not in self._directories:
            self._directories[oid] = entries_of(self.object(oid), len(oid) // 2)
        return self._directories[oid]

    # --- giterminism --------------------------------------------------------------------------------------------

    def changes(self, paths: Sequence[str]) -> list[Change]:
        """What differs between the commit and the working tree below `paths`; files ignored by git do not count, and
        of a submodule only its commit does. A file of Git LFS may be named although it is what the commit means."""
        asked = ["status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all",
                 "--ignore-submodules=dirty", "--", *[path or "." for path in paths]]  # fmt: skip
        out = run_git(asked, self.root, with_config(self.environ, *NO_FILTER))
        changes = []
        for record in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            if record.startswith("? "):
                changes.append(Change(record[2:], "untracked"))
            elif record.startswith("1 "):
                _, letters, module, mode, _, now, oid, _, path = record.split(" ", 8)
                what = "checked out at another commit" if module.startswith("SC") else _what(letters)
                changes.append(Change(path, what, oid if mode == now else ""))
            elif record.startswith("u "):
                changes.append(Change(record.split(" ", 10)[10], "modified"))
        return changes

    # --- processes ----------------------------------------------------------------------------------------------

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        return run_git(list(args), self.root, self.environ, stdin)

    def close(self) -> None:
        for inner in list(self._submodules.values()):
            inner.close()
        self._readers.close()


def _entries(out: bytes) -> list[tuple[str, str, str]]:
    """What `ls-tree -z` printed."""
    entries = []
    for record in out.split(_NULL)[:-1]:
        meta, path = record.split(b"\t", 1)
        mode, _, oid = meta.split(b" ")
        entries.append((path.decode("utf-8", "surrogateescape"), mode.decode(), oid.decode()))
    return entries


def _above(path: str) -> list[str]:
    """The directories that lead to a path, the highest first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _what(letters: str) -> str:
    """git's two letters, staged and in the working tree, in a word."""
    return "deleted" if "D" in letters else "added" if "A" in letters else "modified"


def _find_root(start: Path) -> Path:
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise BadConfiguration(
        f"There is no git repository at {start}.",
        remedy="Run Lineal inside a clone (in CI: after the checkout step).",
    )
