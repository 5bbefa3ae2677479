"""What a command leaves behind: its result on stdout, the table on stderr, the report in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lineal.errors import BadConfiguration
from lineal.results import image_values, make_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from lineal.report.json import Report
    from lineal.run import Run
    from lineal.stages.outlook import Outlook


def references(run: Run, outlook: Outlook, images: Sequence[str] = ()) -> str:
    """A line `NAME REFERENCE` for each published image; the reference alone when exactly one was asked for."""
    values = image_values(run, outlook)
    if len(images) == 1:
        return "".join(value.ref + "\n" for name, value in values.items() if name == images[0])
    return "".join(f"{name} {value.ref}\n" for name, value in values.items())


def plan_text(report: Report, format: str) -> str:
    import json

    from lineal.report.json import encode

    if format == "json":
        return encode(report).decode()
    if format == "matrix":
        stale = [{"image": image.name} for image in report.images if image.digest is None]
        return json.dumps({"include": stale}, separators=(",", ":")) + "\n"
    return _table(report, sys.stdout)


@contextmanager
def reported(run: Run, command: str, outlook: Outlook) -> Iterator[Callable[[Any], None]]:
    """The table and the report at the end, also of a run that failed. Yields where a release's result goes."""
    release: list[Any] = []
    failed = True
    try:
        yield release.append
        failed = False
    finally:
        report = make_report(run, command, outlook)
        report.release = release[0] if release else None
        run.progress.close()
        sys.stderr.write(_table(report, sys.stderr))
        sys.stderr.flush()
        try:
            save(report, run)
        except BadConfiguration as error:
            # Never instead of the failure that the report is about.
            if not failed:
                raise
            sys.stderr.write(f"{error}\n")


def check_report(run: Run) -> None:
    """Raises `BadConfiguration` when the report could not be written: better now than after an hour of building."""
    path = run.options.text("report").value
    if path and not Path(path).absolute().parent.is_dir():
        raise BadConfiguration(
            f"There is no directory for the report {path}.", remedy="Make it, or correct --report."
        )


def save(report: Report, run: Run) -> None:
    from lineal.report.json import encode

    path = run.options.text("report").value
    if not path:
        return
    try:
        Path(path).write_bytes(encode(report))
    except OSError as error:
        raise BadConfiguration(f"The report cannot be written to {path}: {error.strerror}.",
                               remedy="Correct --report.") from None  # fmt: skip


def _table(report: Report, stream: TextIO) -> str:
    from lineal.report.choose import columns, has_colour
    from lineal.report.summary import summary

    return summary(report, colour=has_colour(stream, os.environ), width=columns(stream, os.environ))


def show(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends, with a message and a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Whoever read our output has seen enough; a full disk is another matter.
        if not isinstance(error, BrokenPipeError):
            raise
