"""The head of a branch on the remote, as the forge says at this moment."""

from __future__ import annotations

from lineal.errors import LinealError
from lineal.git.command import run_git, with_config
from lineal.git.remote import remote
from lineal.git.repository import Repository


def branch_head(repository: Repository, branch: str) -> str | None:
    """The commit that the remote's branch is at, None when there is no such branch or the remote does not answer."""
    ref = f"refs/heads/{branch}"
    try:
        url, settings = remote(repository)
        environ = with_config(repository.environ, ("remote.lineal.url", url), *settings)
        lines = run_git(["ls-remote", "lineal", ref], repository.root, environ).decode("utf-8", "replace").split("\n")
    except LinealError:
        return None
    # git matches the end of a name, too: refs/heads/x/refs/heads/main.
    return next((oid for oid, _, name in (line.partition("\t") for line in lines) if name == ref), None)
