"""The working tree as if it were committed, for `--dev`."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from lineal.source.git import capture, text_of, with_config
from lineal.source.repository import Repository


def working_tree(repository: Repository, scratch: Path) -> Repository:
    """The working tree as if it were committed on HEAD (`--dev`): a commit that exists only in `scratch`.

    The same files on the same HEAD always give the same commit id. The user's index and objects are not touched."""
    objects = scratch / "objects"
    objects.mkdir(parents=True)
    index = scratch / "index"
    with suppress(FileNotFoundError):
        # With its time: git takes files that are older than the index as unchanged.
        shutil.copy2(repository.git_dir / "index", index)
    theirs = repository.root / text_of(repository.run("rev-parse", "--git-path", "objects"))
    env = {
        **with_config(repository.environ, ("core.splitIndex", "false"), ("i18n.commitEncoding", "UTF-8")),
        "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(theirs.resolve()),
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _DEV_IDENTITY.items()},
    }
    capture(["add", "--all", "--", "."], repository.root, env)
    tree = text_of(capture(["write-tree"], repository.root, env))
    commit = ["commit-tree", "--no-gpg-sign", tree, "-p", repository.commit, "-m", "lineal --dev"]
    env.pop("GIT_INDEX_FILE")
    return Repository(
        root=repository.root, git_dir=repository.git_dir, commit=text_of(capture(commit, repository.root, env)),
        tree=tree, branch_name=repository.branch_name, shallow=repository.shallow,
        object_format=repository.object_format, environ=env,
    )  # fmt: skip


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
