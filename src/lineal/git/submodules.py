"""Repositories of submodules as they are on this machine: nothing is fetched, and no address is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lineal.errors import BadConfiguration, Location
from lineal.git.command import GitFailed, common_dir, git_environment, run_git, text_of, with_config
from lineal.git.repository import Repository

_REMEDY = (
    "Run `git submodule update --init --recursive` first (actions/checkout: `submodules: recursive`; GitLab: "
    "`GIT_SUBMODULE_STRATEGY: recursive`), or exclude it with .dockerignore."
)


def find(outer: Repository, path: str, commit: str) -> Repository:
    """The repository of the submodule at `path`, at the `commit` that is pinned there.

    It may be the one that is checked out there, or what is left of it below `.git/modules`: what makes it the right
    one is that it has this commit. Raises `BadConfiguration` when there is none."""
    places = [*_checked_out(outer, path), *((folder, folder) for folder in _modules(outer, path))]
    for git_dir, root in places:
        found = _open(outer, path, git_dir, root, commit)
        if found is not None:
            return found
    raise BadConfiguration(
        f"The submodule {outer.prefix + path} is pinned to commit {commit}, which is not here.", remedy=_REMEDY
    )


def checked_out(outer: Repository, path: str) -> Repository | None:
    """The submodule as it is in the working tree, at its own HEAD; None when it is not checked out."""
    places = (_open(outer, path, git_dir, root, "HEAD") for git_dir, root in _checked_out(outer, path))
    return next(places, None)


def listing(module: Repository) -> list[tuple[str, str, str]]:
    """Everything in a submodule's commit, as `Repository.listing` of the outermost repository would name it."""
    entries = [(module.prefix + path, mode, oid) for path, mode, oid in module.listing()]
    check_names(entries, module.prefix.rstrip("/"))
    return entries


def check_names(entries: Iterable[tuple[str, str, str]], top: str = "") -> None:
    """Refuse what git never commits but a tree can hold: names that lead elsewhere once they are on disk."""
    entries = list(entries)
    folders = {top, *(path for path, mode, _ in entries if mode == "040000")}
    for path, _, _ in entries:
        parent, _, name = path.rpartition("/")
        # A name with a slash in it looks like a path whose directory the listing lacks.
        if name.lower() in ("", ".", "..", ".git") or parent not in folders:
            raise BadConfiguration(
                "is not a path that a file can have: the commit is malformed.",
                place=Location(path),
                remedy="Remove the entry and commit again; `git fsck` names all of them.",
            )


def _open(outer: Repository, path: str, git_dir: Path, root: Path, rev: str) -> Repository | None:
    # Named outright, git looks for no other repository and asks for no owner; and a folder that core.worktree names
    # may be gone. A monitor of files is a program, which nobody asked to run.
    environ = {
        **with_config(git_environment(root, outer.environ), ("core.fsmonitor", "false")),
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(root),
    }
    try:
        commit, tree = text_of(run_git(["rev-parse", f"{rev}^{{commit}}", f"{rev}^{{tree}}"], root, environ)).split()
    except GitFailed:
        return None
    return Repository(
        root=root, git_dir=git_dir, commit=commit, tree=tree, branch_name=None, shallow=False,
        object_format=outer.object_format, environ=environ, prefix=f"{outer.prefix}{path}/",
    )  # fmt: skip


def _checked_out(outer: Repository, path: str) -> Iterator[tuple[Path, Path]]:
    """The git directory and the root of what is checked out at `path`, with no link on the way there."""
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
    """Where git keeps the submodule's repository, whether it is checked out or not."""
    for name in _names(outer, path):
        for folder in dict.fromkeys((outer.git_dir, common_dir(outer.git_dir))):
            place = folder / "modules" / name
            with suppress(OSError):
                # A name may hold `..` or be absolute, and what looks like a git directory elsewhere may be the
                # commit's own files: its configuration could name programs to run.
                if place.is_dir() and place.resolve().is_relative_to((folder / "modules").resolve()):
                    yield place


def _names(outer: Repository, path: str) -> list[str]:
    """What the commit's .gitmodules calls the submodule, which anybody may have written."""
    asked = ["--blob", f"{outer.tree}:.gitmodules", "--get-regexp", r"^submodule\..*\.path$"]
    try:
        records = os.fsdecode(outer.run("config", "-z", *asked)).split("\0")[:-1]
    except GitFailed:
        return []
    pairs = (record.partition("\n")[::2] for record in records)
    return [key[len("submodule.") : -len(".path")] for key, value in pairs if value == path]
