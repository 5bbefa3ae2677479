"""Markers that GitHub's runner reads in a log: groups, stopped commands, annotations (reference/ci.md §1.4)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from lineal.ci.github.annotations import escape_data

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
        return f"::group::{escape_data(title)}"

    def close(self) -> str:
        return "::endgroup::"

    def stop_commands(self) -> str:
        self._token = secrets.token_hex(16)
        return f"::stop-commands::{self._token}"

    def resume(self) -> str:
        return f"::{self._token}::"

    def warning(self, text: str) -> str:
        return f"::warning::{escape_data(text)}"


def guarded(text: str, environ: Mapping[str, str]) -> str:
    """A result for stdout: in a container action that is the log, where manifests of a chart must give the runner no
    commands. In a step of a shell it may go to another program, which must get what it is."""
    is_log = environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_WORKSPACE") == _CONTAINER
    if not is_log or not _COMMAND.search(text):
        return text
    groups = Groups()
    return f"{groups.stop_commands()}\n{text.rstrip(chr(10))}\n{groups.resume()}\n"
