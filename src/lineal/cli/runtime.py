"""How a command of the command line begins: its settings, and a session that ends with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from lineal.errors import LinealError

if TYPE_CHECKING:
    from lineal.progress import Progress
    from lineal.session.session import Session

_WITHOUT_PAGE = ("bundle copy", "cleanup", "config", "doctor")
"""The commands that leave no page when they work either."""


@contextmanager
def session_of(given: dict[str, Any], progress: Progress | None = None) -> Iterator[Session]:
    """A session with what the flags and the environment say; `progress` goes to stderr by default. Settings that make
    no sense have a page of their own."""
    from lineal.session.session import Session
    from lineal.session.settings import Settings

    try:
        settings = Settings.of(**given)
    except Exception as error:
        # Without the program's name: `plan`, `bundle apply`.
        _leave(click.get_current_context().command_path.partition(" ")[2], error)
        raise
    with Session.open(settings, progress=progress) as session:
        yield session


def _leave(command: str, error: Exception) -> None:
    from lineal.ci.results import ResultFiles
    from lineal.commands.reporting import leave_error
    from lineal.session.settings import wants_summary

    if command in _WITHOUT_PAGE:
        return
    # Without a word that says whether a page is wanted, none is written.
    with suppress(LinealError):
        leave_error(command, error, os.environ, ResultFiles(_warn, summary=wants_summary(os.environ)))


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")
