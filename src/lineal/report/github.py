"""What GitHub's runner reads in a log: groups, stopped commands, annotations (reference/ci.md §1.4)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from lineal.errors import LinealError
from lineal.report.text import clean

_CONTAINER = "/github/workspace"
"""Where the runner mounts the workspace for an action in a container, and nowhere else."""
# The runner ends a line at a lone carriage return too.
_COMMAND = re.compile(r"(?:^|\r)\s*::|##\[", re.MULTILINE)


class Groups:
    """Group markers; between them the runner takes no commands, so a build cannot give it any."""

    collapses = True

    def __init__(self) -> None:
        self._token = ""

    def open(self, title: str, collapsed: bool) -> str:  # noqa: ARG002 (GitHub folds every group)
        return f"::group::{_data(title)}"

    def close(self) -> str:
        return "::endgroup::"

    def hold(self) -> str:
        self._token = secrets.token_hex(16)
        return f"::stop-commands::{self._token}"

    def release(self) -> str:
        return f"::{self._token}::"

    def warning(self, text: str) -> str:
        return f"::warning::{_data(text)}"


def annotation(error: LinealError) -> str:
    """The workflow command that shows an error on the run's page and beside its line in the pull request."""
    message = error.message if error.remedy is None else f"{error.message} {error.remedy}"
    place = error.place
    properties = ""
    if place is not None:
        properties = f" file={_property(place.file)}"
        if place.line is not None:
            properties += f",line={place.line}"
        if place.key is not None:
            message = f"{place.key}: {message}"
    return f"::error{properties}::{_data(message)}"


def guarded(text: str, environ: Mapping[str, str]) -> str:
    """A result for stdout: in a container action that is the log, where manifests of a chart must give the runner no
    commands. In a step of a shell it may go to another program, which must get what it is."""
    is_log = environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE") == _CONTAINER
    if not is_log or not _COMMAND.search(text):
        return text
    groups = Groups()
    return f"{groups.hold()}\n{text.rstrip(chr(10))}\n{groups.release()}\n"


def _data(text: str) -> str:
    """Lines stay lines, as `%0A`; everything that could act in the log is gone."""
    lines = [clean(line) for line in text.splitlines()]
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    return _data(text).replace("%0A", " ").replace(":", "%3A").replace(",", "%2C")
