"""A small forge (a bare repository with a pull request, a queue and tags) and clones of it as the CIs make them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lineal.git.repository import Repository
from tests import servers

ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *args: str) -> str:
    environ = ENV | servers.NO_HOOKS
    done = subprocess.run([*servers.GIT, *args], cwd=folder, env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Forge:
    """`main` (first, second), the pull request's branch `changes`, its merge ref, a queue's commit, tags."""

    bare: Path
    work: Path
    first: str
    main: str
    changes: str
    merge: str
    tag_object: str

    def clone(self, rev: str, name: str = "", depth: int = 1) -> Repository:
        """As actions/checkout and the GitLab runner do: one commit fetched, checked out with or without a branch."""
        folder = self.work / f"clone-{len(list(self.work.iterdir()))}"
        folder.mkdir()
        git(folder, "init", "--quiet", "--initial-branch=unborn")
        git(folder, "remote", "add", "origin", self.bare.as_uri())
        git(folder, "fetch", "--quiet", "--no-tags", f"--depth={depth}", "origin", rev)
        git(folder, "checkout", "--quiet", *(["-B", name] if name else ["--detach"]), "FETCH_HEAD")
        return Repository.open(folder, ENV)
