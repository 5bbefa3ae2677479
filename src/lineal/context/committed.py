"""Files that a run needs from the commit: their text, and the error when the commit does not have them."""

from __future__ import annotations

from lineal.context.spelling import other_spelling
from lineal.errors import BadConfiguration, LinealError, Location, Uncommitted
from lineal.git.commit import Commit

NOT_COMMITTED = "is in the working tree, but not in the commit."
MAX_TEXT = 1 << 20
"""Bytes of a file that people write: lineal.yaml, a Dockerfile, .dockerignore."""
COMMIT_IT = "Run `git add` and `git commit` first, or build the working tree with --dev."


def committed_text(commit: Commit, path: str) -> str | None:
    """A file of the commit as text, without its byte order mark; None when the commit has no such file. Raises
    `BadConfiguration` when it is not UTF-8, or too large."""
    data = commit.file(path, MAX_TEXT)
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadConfiguration(
            "is not UTF-8 text.", id="LN-1007", place=Location(path), remedy="Save it as UTF-8."
        ) from None


def dockerfile_of(commit: Commit, path: str) -> str:
    """The Dockerfile that a path names: `dockerfile` beside it where there is no `Dockerfile`, as docker takes it."""
    folder, slash, name = path.rpartition("/")
    lower = f"{folder}{slash}{name.lower()}"
    taken = name == "Dockerfile" and commit.file(path) is None and commit.file(lower) is not None
    return lower if taken else path


def absent(
    commit: Commit, path: str, named: str, *, remedy: str, place: Location | None = None, folder: bool = False
) -> LinealError:
    """The error for a file (or `folder`) that the commit does not have: `Uncommitted` where the working tree has it,
    else `BadConfiguration` with this remedy. `named` begins the sentence."""
    there = commit.root / path
    other = other_spelling(path, commit.children)
    if other:
        message = f"{named} does not exist in the commit, but {other!r} does: case counts."
        return BadConfiguration(message, id="LN-3015", place=place, remedy=remedy)
    if there.is_dir() if folder else there.is_file():
        if rule := commit.ignored_by([path]):
            message = f"{named} is in the working tree, and {rule} keeps it out of the commit."
            return Uncommitted(message, id="LN-3002", place=place, remedy="Commit it with `git add --force`.")
        return Uncommitted(f"{named} {NOT_COMMITTED}", id="LN-3002", place=place, remedy=COMMIT_IT)
    return BadConfiguration(f"{named} does not exist in the commit.", id="LN-3015", place=place, remedy=remedy)
