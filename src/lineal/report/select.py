"""Which progress fits this run's standard error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from lineal.progress import Progress
from lineal.report.log import LogProgress, Markers

_LOG_WIDTH = 100


def choose(stream: TextIO, environ: Mapping[str, str], markers: Markers | None = None) -> Progress:
    """Lines between the markers of a CI's log, if there are any; else live on a terminal, plain lines in a file."""
    colour = has_colour(stream, environ, in_ci=markers is not None)
    if markers is None and is_terminal(stream, environ):
        from lineal.report.terminal import Terminal

        return Terminal(stream, colour=colour)
    return LogProgress(stream, markers, colour=colour)


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether lines can be rewritten: a terminal that is not dumb, and no CI (which may have a pseudo-terminal)."""
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb" and environ.get("CI", "") in ("", "false")


def has_colour(stream: TextIO, environ: Mapping[str, str], *, in_ci: bool) -> bool:
    """Colour on terminals and in the log of a CI that shows it, unless `NO_COLOR` is set (https://no-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    return in_ci or (stream.isatty() and environ.get("TERM", "dumb") != "dumb")


def columns(stream: TextIO, environ: Mapping[str, str]) -> int:
    """How wide a table may be: the terminal's width (`COLUMNS` if set), 100 where there is no terminal."""
    given = environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _LOG_WIDTH
    except (OSError, ValueError):
        return _LOG_WIDTH
