"""Repositories of submodules as they are on this machine. Nothing is fetched, and no address is looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lineal.errors import BadConfiguration, Location
from lineal.git.command import GitFailed, common_dir, git_environment, run_git, text_of
from lineal.git.objects import DIRECTORY, Objects
from lineal.git.repository import Repository


class AbsentSubmodules(BadConfiguration):
    """Submodules whose pinned commits are not on this machine."""

    def __init__(self, pins: Sequence[tuple[str, str]]) -> None:
        """`pins` are their paths in the outermost repository, and the commits."""
        self.pins = tuple(pins)
        paths = [path for path, _ in pins]
        if len(pins) == 1:
            message = f"The submodule {paths[0]} is pinned to commit {pins[0][1]}, which is not here."
        else:
            message = f"The pinned commits of the submodules {', '.join(paths)} are not here."
        super().__init__(
            message,
            id="LN-3009",
            remedy="Run `git submodule update --init --recursive` first (actions/checkout: `submodules: recursive`; "
            "GitLab: `GIT_SUBMODULE_STRATEGY: recursive`), or exclude them with .dockerignore. Where no image needs "
            "them, let them count as empty folders, as for `docker build`, in lineal-giterminism.yaml: "
            f"`submodules: {{empty: {json.dumps(paths, ensure_ascii=False)}}}`.",
        )


def find(outer: Repository, path: str, commit: str) -> Repository:
    """The repository of the submodule at `path`, at the `commit` that is pinned there.

    It may be checked out there, or be left over below `.git/modules`. A repository that has the commit is the right
    one. Raises `AbsentSubmodules` when there is none."""
    places = [*_checked_out(outer, path), *((folder, folder) for folder in _modules(outer, path))]
    for git_dir, root in places:
        found = _open(outer, path, git_dir, root, commit)
        if found is not None:
            return found
    raise AbsentSubmodules([(outer.prefix + path, commit)])


def checked_out(outer: Repository, path: str) -> Repository | None:
    """The submodule in the working tree, at its own HEAD. None when it is not checked out."""
    places = (_open(outer, path, git_dir, root, "HEAD") for git_dir, root in _checked_out(outer, path))
    return next(places, None)


def listing(module: Repository) -> list[tuple[str, str, str]]:
    """Everything in a submodule's commit, with the paths that it has in the outermost repository."""
    entries = [(module.prefix + path, mode, oid) for path, mode, oid in module.listing()]
    check_names(entries, module.prefix.rstrip("/"))
    return entries


def check_names(entries: Iterable[tuple[str, str, str]], top: str = "") -> None:
    """Raises `BadConfiguration` for names that git never commits but a tree can hold: on disk they lead elsewhere."""
    entries = list(entries)
    folders = {top, *(path for path, mode, _ in entries if mode == DIRECTORY)}
    for path, _, _ in entries:
        parent, _, name = path.rpartition("/")
        # A name with a slash in it looks like a path whose directory the listing lacks.
        if name.lower() in ("", ".", "..", ".git") or parent not in folders:
            raise BadConfiguration(
                "is not a path that a file can have: the commit is malformed.",
                id="LN-3010",
                place=Location(path),
                remedy="Remove the entry and commit again; `git fsck` names all of them.",
            )


def _open(outer: Repository, path: str, git_dir: Path, root: Path, rev: str) -> Repository | None:
    # With both directories given, git looks for no other repository, asks for no owner, and ignores core.worktree,
    # whose folder may be gone.
    environ = {
        **git_environment(root, outer.environ),
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(root),
    }
    try:
        commit, tree = text_of(run_git(["rev-parse", f"{rev}^{{commit}}", f"{rev}^{{tree}}"], root, environ)).split()
    except GitFailed:
        return None
    return Repository(
        root=root,
        git_dir=git_dir,
        commit=commit,
        tree=tree,
        branch_name=None,
        shallow=False,
        object_format=outer.object_format,
        environ=environ,
        objects=Objects(root, environ, [common_dir(git_dir) / "objects"], outer.object_format),
        prefix=f"{outer.prefix}{path}/",
    )


def _checked_out(outer: Repository, path: str) -> Iterator[tuple[Path, Path]]:
    """The git directory and the root of the submodule that is checked out at `path`, unless a link leads there."""
    root = outer.root / path
    link = root / ".git"
    with suppress(OSError):
        if outer.root == outer.git_dir or os.path.realpath(root) != f"{os.path.realpath(outer.root)}/{path}":
            return
        if link.is_file():
            git_dir = Path(root, os.fsdecode(link.read_bytes()).removeprefix("gitdir:").strip())
            if git_dir.is_dir():
                yield git_dir.resolve(), root
        elif link.is_dir():
            yield link, root


def _modules(outer: Repository, path: str) -> Iterator[Path]:
    """The directories where git keeps the submodule's repository, whether it is checked out or not."""
    for name in _names(outer, path):
        for folder in dict.fromkeys((outer.git_dir, common_dir(outer.git_dir))):
            place = folder / "modules" / name
            with suppress(OSError):
                # A name may hold `..` or be absolute. A directory elsewhere that looks like a git directory may be a
                # part of the commit, and its configuration could name programs to run.
                if place.is_dir() and place.resolve().is_relative_to((folder / "modules").resolve()):
                    yield place


def _names(outer: Repository, path: str) -> list[str]:
    """The names that the commit's .gitmodules gives the submodule. Anybody may have written that file.

    git reads it: `dulwich.config` takes escapes that git refuses, and keeps white space that git changes."""
    asked = ["--blob", f"{outer.tree}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$"]
    try:
        records = os.fsdecode(outer.run("config", "-z", *asked)).split("\0")[:-1]
    except GitFailed:
        return []
    pairs = (record.partition("\n")[::2] for record in records)
    return [key[len("submodule.") : -len(".path")] for key, value in pairs if value == path]
