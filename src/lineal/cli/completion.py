"""Completion in shells: click's own scripts, and the names of images."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")


def script(shell: str, cli: click.Command) -> str:
    """What a shell reads to complete the words of `lineal`: it asks `lineal` itself, by a variable."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, shell
    return made(cli, {}, "lineal", "_LINEAL_COMPLETE").source() + "\n"


def image_names(context: click.Context, _parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """The images of the project that begin with the word and are not named yet; without any, directories. What is
    wrong is said by the command itself, when it runs."""
    from click.shell_completion import CompletionItem

    named = context.params.get("images") or ()
    found = [name for name in _images(context.params) if name.startswith(word) and name not in named]
    return [CompletionItem(name) for name in found] or [CompletionItem(word, type="dir")]


def _images(params: dict[str, Any]) -> list[str]:
    from lineal.report.log import LogProgress
    from lineal.session.session import Session
    from lineal.session.settings import Settings

    given = {name: params[name] for name in ("env", "var") if params.get(name)}
    try:
        with Session.open(Settings.of(**given), progress=LogProgress(io.StringIO())) as session:
            return list(session.loaded.project.images)
    except Exception:  # noqa: BLE001 (in the middle of a line nobody can be told anything)
        return []
