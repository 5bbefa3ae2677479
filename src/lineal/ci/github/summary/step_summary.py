"""The file that a step of GitHub Actions writes its part of the job summary to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lineal.ci.results import ResultFiles

BUDGET = 1_000_000
"""Bytes. GitHub drops a summary of more than 1 MiB."""
_LEAST = 2_000
"""Bytes that a page needs at least."""


def append(environ: Mapping[str, str], files: ResultFiles, make: Callable[[int], str]) -> None:
    """Put a page behind the text that the step has in its summary so far; nothing where there is no summary, or no
    room in it. `make` gets the bytes that are left."""
    path = environ.get("GITHUB_STEP_SUMMARY")
    if not path or not files.summary:
        return
    try:
        with Path(path).open("ab") as file:
            room = BUDGET - file.tell() - 2
            if room >= _LEAST:
                # The text before may lack its newline, and would take the page as its own.
                file.write(b"\n\n" * (file.tell() > 0) + make(room).encode())
    except OSError as error:
        # GitHub chose the file, not the user: the run is as good without it.
        files.warn(f"The job summary cannot be written: {error.strerror}.")
