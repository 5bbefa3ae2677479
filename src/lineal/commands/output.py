"""The output of a run for people: its first lines and the table on stderr, its result on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lineal.errors import BadConfiguration

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.report.model import Report
    from lineal.session.session import Session


def introduce(session: Session) -> None:
    """Say what this run is about, before its work begins. Raises `BadConfiguration`."""
    from lineal.ci.provider import describe

    check_files(session)
    for line in describe(session.context):
        session.progress.note(line)
    if session.settings.dev.value:
        session.progress.note("files      the working tree, as if it were committed  --dev")
    introduce_store(session)
    if shown := session.trust.shown:
        session.progress.note(f"believes   {shown}")


def introduce_store(session: Session) -> None:
    repo = session.store_settings.repo
    session.progress.note(f"store      {repo.value}  {repo.origin}")


def introduce_lock(session: Session) -> None:
    """For runs that publish: checked before they begin. Raises `BadConfiguration`."""
    session.progress.note(f"lock       {session.lock_choice}")


def check_files(session: Session, *, dotenv: bool = True) -> None:
    """Raises `BadConfiguration` when a file could not be written: better now than after an hour of building."""
    settings = session.settings
    for option, what, setting in [
        ("report", "report", settings.report),
        ("report-html", "page", settings.report_html),
        *[("dotenv", "variables", settings.dotenv)] * dotenv,
    ]:
        path = setting.value
        if path and not Path(path).absolute().parent.is_dir():
            raise BadConfiguration(
                f"There is no directory for the {what} {path}.",
                id="LN-1017",
                remedy=f"Make it, or correct --{option}.",
            )


def references(result: BuildResult, names: Sequence[str] = ()) -> str:
    """A line `NAME REFERENCE` for each published image; the reference alone when exactly one was asked for."""
    found = result.references()
    if len(names) == 1:
        return "".join(reference + "\n" for name, reference in found.items() if name == names[0])
    return "".join(f"{name} {reference}\n" for name, reference in found.items())


def table_of(report: Report, stream: TextIO) -> str:
    from lineal.ci.provider import provider_of
    from lineal.report.select import columns, has_colour
    from lineal.report.table import summary

    in_ci = provider_of(os.environ).markers() is not None
    return summary(report, colour=has_colour(stream, os.environ, in_ci=in_ci), width=columns(stream, os.environ))


def show(text: str, stream: TextIO | None = None) -> None:
    """Print a result, by default to stdout. A reader that has seen enough is no failure."""
    from lineal.ci.provider import provider_of

    text = provider_of(os.environ).guarded(text)
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # The rest of the buffer would fail once more when Python ends, with a message and a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        # A full disk is a failure, a reader that closed its end is none.
        if not isinstance(error, BrokenPipeError):
            raise
