"""Files of the commit that a release is made of, as text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.context.committed import absent, committed_text

if TYPE_CHECKING:
    from lineal.session.session import Session


def text_of_commit(session: Session, path: str, named: str, key: str | None = None) -> str:
    """A file of the commit, which lineal.yaml names at `key`. Raises `BadConfiguration` and `Uncommitted`."""
    text = committed_text(session.repository, path)
    if text is None:
        raise absent(
            session.repository, path, f"The {named} {path}", remedy="Correct the path.",
            place=session.loaded.place(key) if key else None,
        )  # fmt: skip
    return text


def in_repository(session: Session, path: str) -> str | None:
    """A path of the command line as one of the commit; None when it is outside of the repository."""
    absolute = Path(os.path.normpath(session.start / path))
    root = session.repository.root
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else None
