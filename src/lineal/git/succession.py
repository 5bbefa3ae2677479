"""Which of two commits of a project came later, where the later one may be none that this clone has."""

from __future__ import annotations

from pathlib import Path

from lineal.errors import LinealError
from lineal.git.command import GitFailed, git_environment, run_git, text_of
from lineal.git.repository import Repository


def is_overtaken(repository: Repository, commit: str, by: str, cache: Path) -> bool:
    """Whether `commit` is an ancestor of the commit `by`, which is fetched where the clone lacks it. What cannot be
    known counts as no."""
    if commit == by:
        return False
    if _is_ancestor(commit, by, repository.root, repository.environ):
        return True
    from lineal.git.history_fetch import fetch

    try:
        # A descendant's history is needed back to this commit, and no further.
        made = int(repository.run("log", "-1", "--format=%ct", commit)) * 1000
        side = fetch(repository, [by], cache, made)
    except (LinealError, OSError, ValueError):
        return False
    return _is_ancestor(commit, by, side, git_environment(side, repository.environ))


def _is_ancestor(commit: str, of: str, folder: Path, environ: dict[str, str]) -> bool:
    try:
        return text_of(run_git(["merge-base", commit, of], folder, environ)) == commit
    except GitFailed:
        return False
