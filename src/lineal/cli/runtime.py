"""How a command of the command line begins: its settings, and a session that ends with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lineal.session.session import Session


@contextmanager
def session_of(given: dict[str, Any]) -> Iterator[Session]:
    """A session with what the flags and the environment say. Settings that make no sense have a page of their own."""
    from lineal.session.session import Session
    from lineal.session.settings import Settings

    try:
        settings = Settings.of(**given)
    except Exception as error:
        from lineal.commands.reporting import leave_error

        # Without the program's name: `plan`, `bundle apply`.
        command = click.get_current_context().command_path.partition(" ")[2]
        leave_error(command, error, os.environ, True, _warn)
        raise
    with Session.open(settings) as session:
        yield session


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")
