"""The name of a lock's holder, for the people whose run waits for it: one run writes it, another reads it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_LONGEST = 200


def describe(environ: Mapping[str, str]) -> str:
    """The name of this run: the address of its CI job, else its process."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_RUN_ID"):
        server = environ.get("GITHUB_SERVER_URL", "https://github.com")
        return one_line(f"{server}/{environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{environ['GITHUB_RUN_ID']}")
    if environ.get("GITLAB_CI") == "true" and environ.get("CI_JOB_URL"):
        return one_line(environ["CI_JOB_URL"])
    return one_line(f"process {os.getpid()} on {socket.gethostname()}")


def one_line(text: str) -> str:
    """One short printable line of any text; empty when nothing is left."""
    return "".join(char for char in text[:_LONGEST] if char.isprintable()).strip()
