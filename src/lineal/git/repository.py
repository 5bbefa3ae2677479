"""Facts, objects and status of a git repository and of one commit of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from lineal.errors import BadConfiguration, Location
from lineal.git.cat_file import MissingObject
from lineal.git.command import GitFailed, common_dir, run_git, text_of, with_config
from lineal.git.discovery import find
from lineal.git.objects import DIRECTORY, SUBMODULE, Entries, Objects, parse_listing
from lineal.value import dataclass

NO_LFS_FILTER = (("filter.lfs.clean", ""), ("filter.lfs.process", ""), ("filter.lfs.required", "false"))
"""Settings for git without the filter of Git LFS: git compares and adds the content of files as it is, whether
git-lfs is installed or not."""

_SOME = 1000
"""Files that are named at most where an error looks for its reason."""


@dataclass(frozen=True, slots=True)
class Change:
    """A path of the working tree that differs from the commit.

    `what` is `modified`, `added`, `deleted` or `untracked`; for a submodule also `checked out at another commit`."""

    path: str
    what: str
    oid: str = ""
    """The commit's object at this path, where only the content differs; else empty."""


def _distrusted(root: Path) -> BadConfiguration:
    what = f"The repository {root} belongs to another user: its configuration may name programs, so git refuses it."
    remedy = f"If you trust its owner, run `git config --global --add safe.directory {root}`."
    return BadConfiguration(what, id="LN-3017", remedy=remedy)


@dataclass(frozen=True)
class Repository:
    """A git repository and the commit of it that is built. No method writes to it."""

    root: Path
    git_dir: Path
    commit: str
    tree: str
    branch_name: str | None
    shallow: bool
    object_format: str
    environ: dict[str, str]
    """The environment in which git runs."""
    objects: Objects
    prefix: str = ""
    """The path of a submodule in the outermost repository, with a slash at the end; else empty."""

    @classmethod
    def open(cls, start: Path, environ: dict[str, str] | None = None) -> Self:
        """The repository that contains `start`, at its HEAD. Raises `BadConfiguration` when there is none."""
        root, env = find(start, dict(os.environ) if environ is None else environ)
        facts = ["rev-parse", "--is-shallow-repository", "--show-object-format"]
        # --abbrev-ref would say `heads/main` beside a tag of the same name. The git directory is last because its
        # path may hold a line break.
        head = ["HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD", "--absolute-git-dir"]
        try:
            found = text_of(run_git([*facts, *head], root, env))
        except GitFailed:
            try:
                run_git(facts, root, env)
            except GitFailed as error:
                if error.distrusted:
                    raise _distrusted(root) from None
                where = f"GIT_DIR names {env['GIT_DIR']}" if "GIT_DIR" in env else f"{root} has a .git"
                what = f"{where}, but git cannot use it ({error.message})"
                raise BadConfiguration(what, id="LN-3004", remedy="Repair it, or clone it again.") from None
            raise BadConfiguration(
                f"The git repository {root} has no commit yet.",
                id="LN-3005",
                remedy="Lineal builds commits: run `git add` and `git commit` first.",
            ) from None
        shallow, object_format, commit, tree, branch, git_dir = found.split("\n", 5)
        return cls(
            root=root,
            git_dir=Path(git_dir),
            commit=commit,
            tree=tree,
            branch_name=branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else None,
            shallow=shallow == "true",
            object_format=object_format,
            environ=env,
            objects=Objects(root, env, [common_dir(Path(git_dir)) / "objects"], object_format),
        )

    # --- facts for the pipeline context -------------------------------------------------------------------------

    def head(self) -> str:
        return self.commit

    def branch(self) -> str | None:
        return self.branch_name

    def default_branch(self) -> str | None:
        """The branch that the HEAD of the remote `origin` names; in a clone that does not know it the one that is
        called `main`, else `master`. None where there is neither."""
        common, packed = common_dir(self.git_dir), ""
        with suppress(OSError):
            head = (common / "refs/remotes/origin/HEAD").read_text(errors="replace")
            return head.partition("ref: refs/remotes/origin/")[2].strip() or None
        with suppress(OSError):
            packed = (common / "packed-refs").read_text(errors="replace")
        for name in ("main", "master"):
            refs = [f"refs/remotes/origin/{name}", f"refs/heads/{name}"]
            if any((common / ref).is_file() or f" {ref}\n" in packed for ref in refs):
                return name
        return None

    def parents(self, commit: str) -> tuple[str, ...]:
        """The parents that the commit object names. A shallow clone may lack them."""
        return self.objects.commit(commit).parents

    def peel(self, rev: str) -> str | None:
        """The commit that a tag, branch or id stands for, None when it is not here."""
        asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}"]
        try:
            return self.run(*asked).decode().strip()
        except GitFailed:
            return None

    def tags_at_head(self) -> list[str]:
        if not self._has_tags():
            return []  # as in most clones of a CI, without a process
        out = self.run("for-each-ref", f"--points-at={self.commit}", "--format=%(refname:strip=2)", "refs/tags")
        return text_of(out).split("\n") if out else []

    def _has_tags(self) -> bool:
        """False where git's files show that there is no tag at all."""
        common = common_dir(self.git_dir)
        tags, packed = common / "refs/tags", common / "packed-refs"
        try:
            if (common / "reftable").exists() or (tags.exists() and any(tags.iterdir())):
                return True
            return packed.exists() and b" refs/tags/" in packed.read_bytes()
        except OSError:
            return True

    def at(self, commit: str, *, fetch: bool = True) -> Self | None:
        """The same repository with another commit to read, None when that commit is not here. Without `fetch` it has
        only what is here of a partial clone."""
        if self.peel(commit) is None:
            return None
        objects = self.objects if fetch else self.objects.without_fetching()
        return replace(self, commit=commit, tree=objects.commit(commit).tree, objects=objects)

    # --- content ------------------------------------------------------------------------------------------------

    def object(self, oid: str) -> bytes:
        """The content of an object. Raises `MissingObject` for an object that is not here."""
        with self._named():
            return self.objects.read(oid)

    def stream(self, oid: str) -> Iterator[bytes]:
        """The content of an object in chunks of at most 1 MiB. Several threads may stream at once."""
        with self._named():
            yield from self.objects.stream(oid)

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """The sizes of objects in bytes. One process of git answers for all; a partial clone fetches what it lacks of
        them. Raises `MissingObject`."""
        wanted = sorted(set(oids))
        if not wanted:
            return {}
        with self._named():
            self.objects.bring(wanted)
            out = self.run("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin="\n".join(wanted).encode())
            lines = out.split(b"\n")
            for oid, line in zip(wanted, lines, strict=False):
                if line.endswith(b"missing"):
                    raise MissingObject(oid, self.root)
        return {oid: int(line) for oid, line in zip(wanted, lines, strict=False)}

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Says of an object that is missing which file of the commit it is."""
        try:
            yield
        except MissingObject as error:
            if error.place is None and (path := self._path_of(error.oid)):
                error.place = Location(self.prefix + path)
                error.message, error.remedy = self._why_missing()
            raise

    def _path_of(self, oid: str) -> str:
        """A path at which the commit has this object, empty when it has none or its folders are missing, too."""
        found = (folder + os.fsdecode(name) for folder, entries in self._folders(missing_ok=True)
                 for name, (_, entry) in entries.items() if entry == oid)  # fmt: skip
        return next(found, "")

    def _folders(self, *, missing_ok: bool = False) -> Iterator[tuple[str, Entries]]:
        """The folders of the commit, each path with a slash at its end, and their entries."""
        left = [("", self.tree)]
        for folder, tree in left:
            try:
                entries = self.objects.tree(tree)
            except GitFailed:
                if not missing_ok:
                    raise
                continue
            yield folder, entries
            inside = ((os.fsdecode(name), *entry) for name, entry in entries.items())
            left += [(f"{folder}{name}/", oid) for name, mode, oid in inside if mode == DIRECTORY]

    def _why_missing(self) -> tuple[str, str]:
        if not self.objects.partial:
            return "it is missing in the clone, which is damaged.", "Clone it again."
        remote = self.objects.promisor.remote
        return (
            f"it was left out of this clone, and the remote {remote!r} did not give it.",
            "Clone without `--filter`, or check out its folder, too (actions/checkout: `sparse-checkout`).",
        )

    def listing(self, prefixes: Sequence[str] = ()) -> list[tuple[str, str, str]]:
        """(path, mode, object id) of everything in the commit, directories included, parents before children.

        `prefixes` limits it to some paths; the answer's paths stay relative to the root. git does this in one
        process: of 100,000 files in 12,000 directories in 0.2 s, where dulwich needs 0.5 s."""
        paths = [prefix for prefix in prefixes if prefix not in ("", ".")]
        whole = len(paths) < len(prefixes) or not paths
        asked = [] if whole else sorted(set(paths))
        entries = self._listed("-r", "-t", self.tree, "--", *asked)
        found = {path for path, _, _ in entries}
        above = {one for path in asked if path not in found for one in folders_above(path)}
        if above:
            # git says nothing about a path inside a submodule. The submodule itself is in the commit.
            shown = self._listed(self.tree, "--", *sorted(above))
            entries += [entry for entry in shown if entry[1] == SUBMODULE and entry not in entries]
        return entries

    def _listed(self, *args: str) -> list[tuple[str, str, str]]:
        try:
            return parse_listing(run_git(["ls-tree", "-z", "--full-tree", *args], self.root, self._fetching))
        except GitFailed:
            if self.objects.partial:
                with self._named():
                    list(self._folders())
            raise

    @property
    def _fetching(self) -> dict[str, str]:
        """The environment for a command that may need folders that a partial clone lacks: git fetches them then."""
        allowed = {key: value for key, value in self.environ.items() if key != "GIT_NO_LAZY_FETCH"}
        return allowed if self.objects.partial and self.objects.promisor.may_ask else self.environ

    def entry(self, path: str) -> tuple[str, str]:
        """(mode, object id) of exactly this path, empty texts when the commit has none."""
        mode, oid = DIRECTORY, self.tree
        with self._named():
            for name in path.split("/"):
                mode, oid = self.objects.tree(oid).get(os.fsencode(name), ("", "")) if mode == DIRECTORY else ("", "")
        return mode, oid

    def children(self, folder: str) -> list[str]:
        """The names in a folder of the commit, the root being empty; none where there is no folder."""
        mode, oid = self.entry(folder) if folder else (DIRECTORY, self.tree)
        return [os.fsdecode(name) for name in self.objects.tree(oid)] if mode == DIRECTORY else []

    def oid(self, path: str) -> str:
        """The object of a file in the commit, empty when there is none at this path."""
        mode, oid = self.entry(path)
        return oid if mode.startswith("100") else ""

    # --- giterminism --------------------------------------------------------------------------------------------

    def changes(self, paths: Sequence[str]) -> list[Change]:
        """The paths below `paths` where the working tree differs from the commit.

        Files that git ignores do not count. Of a submodule only its commit counts. A file of Git LFS may be named
        although it is what the commit's pointer stands for."""
        asked = ["status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all",
                 "--ignore-submodules=dirty", "--", *[path or "." for path in paths]]  # fmt: skip
        out = run_git(asked, self.root, with_config(self._fetching, *NO_LFS_FILTER))
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

    def ignored_by(self, paths: Sequence[str], *, every: bool = False) -> str:
        """The rule that makes git ignore the first of these paths of the working tree that it ignores, such as
        `.gitignore:3 (bin/)`; empty when there is none, and with `every` when it does not ignore all of them."""
        asked = os.fsencode("".join(f"./{path}\0" for path in paths))
        # check-ignore takes no literal pathspecs. It matches paths as they are, without them, too.
        environ = {key: value for key, value in self.environ.items() if key != "GIT_LITERAL_PATHSPECS"}
        try:
            out = run_git(["check-ignore", "--verbose", "-z", "--stdin"], self.root, environ, asked)
        except GitFailed:
            return ""
        fields = iter(os.fsdecode(out).split("\0"))
        rules = [(source, line, rule) for source, line, rule, _ in zip(*[fields] * 4, strict=False)
                 if not rule.startswith("!")]  # fmt: skip
        if not rules or (every and len(rules) < len(paths)):
            return ""
        source, line, rule = rules[0]
        return f"{source}:{line} ({rule})"

    def files_on_disk(self, folder: str) -> list[str]:
        """Some of the files in a folder of the working tree, ignored ones too."""
        asked = ["ls-files", "--others", "-z", "--", folder]
        return os.fsdecode(self.run(*asked)).split("\0")[:-1][:_SOME]

    # --- processes ----------------------------------------------------------------------------------------------

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        return run_git(list(args), self.root, self.environ, stdin)

    def close(self) -> None:
        self.objects.close()


def folders_above(path: str) -> list[str]:
    """The directories that a path lies in, the highest first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _what(letters: str) -> str:
    """One word for the two letters of git: the state of the index, and that of the working tree."""
    return "deleted" if "D" in letters else "added" if "A" in letters else "modified"
