"""How many commits the history of a commit has: a number that is higher for each descendant."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lineal.errors import BadConfiguration, LinealError
from lineal.git.command import common_dir, git_environment, run_git
from lineal.git.repository import Repository


def commit_count(repository: Repository, cache: Path) -> int:
    """The commit itself counts too. What a shallow clone lacks is fetched, commits only, into a repository below
    `cache`. Raises `BadConfiguration` when that fails: a number of fewer commits would be too low."""
    if not repository.shallow:
        return int(repository.run("rev-list", "--count", repository.commit))
    here = set(repository.run("rev-list", repository.commit).decode().split())
    ends = here.intersection(_boundary(repository))
    beyond = sorted({parent for commit in ends for parent in repository.parents(commit)} - here)
    if not beyond:
        return len(here)
    from lineal.git.history_fetch import fetch

    try:
        side = fetch(repository, beyond, cache)
        environ = git_environment(side, repository.environ)
        missing = run_git(["rev-list", "--stdin"], side, environ, os.fsencode("\n".join(beyond)))
    except (LinealError, OSError) as error:
        why = (error.strerror if isinstance(error, OSError) else error.words) or "unknown"
        what = f"The clone is shallow, and its missing history could not be fetched ({why.rstrip('.')})."
        remedy = "Use a full clone (fetch-depth: 0, GIT_DEPTH: 0), or give the version with `--version`."
        raise BadConfiguration(what, id="LN-7013", remedy=remedy) from None
    return len(here.union(missing.decode().split()))


def _boundary(repository: Repository) -> set[str]:
    """The commits at which the clone ends."""
    with suppress(OSError):
        return set((common_dir(repository.git_dir) / "shallow").read_text().split())
    return set()
