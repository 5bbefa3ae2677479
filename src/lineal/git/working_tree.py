"""The working tree as if it were committed, for `--dev`."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lineal.git.command import run_git, text_of, with_config
from lineal.git.commit import Commit
from lineal.git.objects import Objects
from lineal.git.repository import NO_LFS_FILTER, Repository
from lineal.git.submodules import checked_out

_LINK = re.compile(rb"(?:^|\0)160000 (\w+) 0\t([^\0]+)(?=\0)")


def working_tree(repository: Commit, scratch: Path) -> Commit:
    """The working tree as if it were committed on HEAD (`--dev`): a commit that exists only in `scratch`.

    The same files on the same HEAD always give the same commit id. The user's index and objects are not touched.
    A submodule that is checked out is committed in the same way, and the outer commit names that commit."""
    objects = scratch / "objects"
    objects.mkdir(parents=True)
    index = scratch / "index"
    with suppress(FileNotFoundError):
        # With its time of change: git takes files that are older than the index as unchanged.
        shutil.copy2(repository.git_dir / "index", index)
    theirs = repository.root / text_of(repository.run("rev-parse", "--git-path", "objects"))
    settings = (("core.splitIndex", "false"), ("i18n.commitEncoding", "UTF-8"), *NO_LFS_FILTER)
    env = {
        **with_config(repository.environ, *settings),
        "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(theirs.resolve()),
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _DEV_IDENTITY.items()},
    }
    run_git(["add", "--all", "--", "."], repository.root, env)
    _keep_pointers(repository, env)
    modules = _submodules(repository, env, scratch)
    tree = text_of(run_git(["write-tree"], repository.root, env))
    commit = ["commit-tree", "--no-gpg-sign", tree, "-p", repository.commit, "-m", "lineal --dev"]
    env.pop("GIT_INDEX_FILE")
    return replace(
        repository,
        commit=text_of(run_git(commit, repository.root, env)),
        tree=tree,
        environ=env,
        objects=Objects(repository.root, env, [objects, theirs], repository.object_format),
        _submodules=modules,
    )


def _keep_pointers(repository: Commit, env: dict[str, str]) -> None:
    """Keep the pointers of Git LFS files whose content is the committed one, as git-lfs would: checksums stay.

    git has added their content, because it ran without the filter."""
    changed = run_git(["diff-index", "--cached", "-z", repository.commit], repository.root, env).split(b"\0")
    for meta, name in zip(changed[::2], changed[1::2], strict=False):
        mode, now, oid, _, _ = meta.removeprefix(b":").split()
        if mode == now and mode.startswith(b"100") and repository.lfs.unchanged(os.fsdecode(name), oid.decode()):
            _stage(repository, env, mode, oid, name)


def _stage(repository: Repository, env: dict[str, str], mode: bytes, oid: bytes, name: bytes) -> None:
    record = b"%b %b 0\t%b\0" % (mode, oid, name)
    run_git(["update-index", "-z", "--index-info"], repository.root, env, record)


def _submodules(repository: Commit, env: dict[str, str], scratch: Path) -> dict[tuple[str, str], Commit]:
    """Name in the index what the working trees of submodules hold. Gives the submodules by path and commit."""
    staged = run_git(["ls-files", "--stage", "-z"], repository.root, env)
    found: dict[tuple[str, str], Commit] = {}
    for number, (oid, name) in enumerate(_LINK.findall(staged)):
        path = os.fsdecode(name)
        module = checked_out(repository, path)
        if module is None:
            continue
        now = working_tree(Commit.of(module), scratch / str(number))
        module.close()
        commit = module.commit
        if now.tree == module.tree:
            now.close()
        else:
            commit = now.commit
            found[path, commit] = now
        if commit != oid.decode():
            _stage(repository, env, b"160000", commit.encode(), name)
    return found


def _quoted(path: Path) -> str:
    """A path for a list that is separated by colons, as git reads it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


_DEV_IDENTITY = {"NAME": "lineal", "EMAIL": "lineal@localhost", "DATE": "2000-01-01T00:00:00Z"}


def dev_branch(repository: Repository) -> str:
    """The branch name under which this clone publishes its working tree: random, so that nobody else has it."""
    path = repository.git_dir / "lineal-dev"
    name = path.read_text().strip() if path.exists() else ""
    if not name:
        import secrets

        name = secrets.token_hex(16)
        path.write_text(name)
    return f"lineal-dev/{name}"
