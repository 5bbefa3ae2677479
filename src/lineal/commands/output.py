"""What a command leaves behind: its result on stdout, the table on stderr, the report in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lineal.commands.reporting import image_values, make_report
from lineal.errors import BadConfiguration, LinealError, Location, as_lineal_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from lineal.report.model import ErrorReport, Report
    from lineal.session.session import Session
    from lineal.stages.plan import BuildPlan


_TOLD = ("plan", "build", "render", "deploy", "converge", "bundle publish", "bundle apply", "dismiss")
"""The commands that have a page."""
_LEAST = 2_000
"""Bytes that a page needs at least."""


def references(run: Session, outlook: BuildPlan, images: Sequence[str] = ()) -> str:
    """A line `NAME REFERENCE` for each published image; the reference alone when exactly one was asked for."""
    values = image_values(run, outlook)
    if len(images) == 1:
        return "".join(value.ref + "\n" for name, value in values.items() if name == images[0])
    return "".join(f"{name} {value.ref}\n" for name, value in values.items())


def planned(run: Session, format: str) -> Callable[[Report], str]:
    """How `plan` shows a report. Raises `BadConfiguration` before any work when it could not."""
    from lineal.report.model import encode

    if run.options.template and format != "gitlab":
        raise BadConfiguration("--template is for --format gitlab.", remedy="Give both, or neither.")
    if format == "json":
        return lambda report: encode(report).decode()
    if format == "matrix":
        from lineal.ci.github.matrix import matrix

        return matrix
    if format == "gitlab":
        return _child(run)
    return lambda report: _table(report, sys.stdout)


def _child(run: Session) -> Callable[[Report], str]:
    """Settings that `plan` was given as flags are repeated in the jobs: variables reach them by themselves."""
    from lineal.ci.gitlab.child_pipeline import child, default_template, read_template

    options = run.options
    if options.var:
        # It may be a secret, and the pipeline's file can be downloaded.
        what = "--var is not passed on to the jobs of --format gitlab."
        raise BadConfiguration(what, remedy="Set LINEAL_VAR in the template's variables, or in the project's.")
    path = options.text("template").value
    template = read_template(path) if path else default_template(options.environ.get("CI_JOB_IMAGE"))
    given: dict[str, object] = {
        "LINEAL_REPO": options.repo,
        "LINEAL_ENV": options.env,
        "LINEAL_INSECURE_REGISTRY": "\n".join(options.insecure_registry),
        "LINEAL_IGNORE_UNCOMMITTED": "true" if options.ignore_uncommitted else "",
        "LINEAL_DEV": "true" if options.dev else "",
    }
    variables = {name: str(value) for name, value in given.items() if value}
    return lambda report: child(report, template, variables)


def reported(
    run: Session, command: str, outlook: BuildPlan, report: Report | None = None, *, table: bool = True
) -> AbstractContextManager[Callable[[Any], None]]:
    """`reporting` for a run of a commit; its `report`, when that is known from the beginning."""
    return reporting(run, lambda: report or make_report(run, command, outlook), table=table)


@contextmanager
def reporting(run: Session, make: Callable[[], Report], *, table: bool = True) -> Iterator[Callable[[Any], None]]:
    """What a run leaves behind at its end, also one that failed: the report that `make` gives then. Yields where a
    release's result goes."""
    release: list[Any] = []
    failure: BaseException | None = None
    try:
        yield release.append
    except BaseException as error:
        failure = error
        raise
    finally:
        report = make()
        report.release = release[0] if release else None
        report.error = None if failure is None else error_report(failure)
        run.progress.close()
        if table:
            # A log that is gone changes neither what was done nor what is left behind.
            with suppress(OSError, ValueError):
                sys.stderr.write(_table(report, sys.stderr))
                sys.stderr.flush()
        leave(report, run)


def leave(report: Report, run: Session) -> None:
    """Write every file that the run was asked for. What cannot be written is never told instead of the failure that
    the report is about."""
    run.told = True
    failures: list[BadConfiguration] = []
    for write in (_write_report, _write_dotenv, _write_outputs, _write_page):
        try:
            write(report, run)
        except BadConfiguration as error:
            failures.append(error)
    if report.error is None and failures:
        raise failures.pop(0)
    for failure in failures:
        sys.stderr.write(f"{failure}\n")


def fail(run: Session, command: str, error: BaseException) -> None:
    """The page of a run that ended before it had anything to report."""
    if run.told or command not in _TOLD:
        return
    from lineal.ci.github.summary.page import error_page

    run.told = True
    with suppress(LinealError):
        _append(run, lambda _: error_page(command, error_report(error)))


def error_report(error: BaseException) -> ErrorReport:
    from lineal.report.model import ErrorReport

    found = as_lineal_error(error)
    place = found.place or Location("")
    return ErrorReport(
        message=found.message,
        remedy=found.remedy,
        file=place.file or None,
        line=place.line,
        key=place.key,
        code=found.exit_code,
    )


def check_files(run: Session, *, dotenv: bool = True) -> None:
    """Raises `BadConfiguration` when a file could not be written: better now than after an hour of building."""
    run.options.summary()
    for name, what in [("report", "report"), *[("dotenv", "variables")] * dotenv]:
        path = run.options.text(name).value
        if path and not Path(path).absolute().parent.is_dir():
            raise BadConfiguration(
                f"There is no directory for the {what} {path}.", remedy=f"Make it, or correct --{name}."
            )


def _write_report(report: Report, run: Session) -> None:
    from lineal.report.model import encode

    path = run.options.text("report").value
    if path:
        _write("report", "report", path, encode(report))


def _write_dotenv(report: Report, run: Session) -> None:
    path = run.options.text("dotenv").value
    if not path or report.context is None:
        return
    from lineal.ci.gitlab.dotenv import dotenv

    text, left_out = dotenv(report)
    if left_out:
        names = ", ".join(left_out)
        run.progress.warn(f"--dotenv has no variable for {names}: GitLab takes 20 variables and 5 KB, and each "
                          "needs a name of its own. Take them from --report.")  # fmt: skip
    _write("dotenv", "variables", path, text.encode())


def _write_outputs(report: Report, run: Session) -> None:
    """The outputs of a GitHub step, the action's or any other that runs Lineal."""
    environ = run.options.environ
    path = environ.get("GITHUB_OUTPUT")
    if not path:
        return
    from lineal.ci.github.outputs import encode, host_path, outputs, too_much

    written = run.options.text("report").value
    found = outputs(report, host_path(written, environ) if written else "")
    for name in too_much(found):
        run.progress.warn(f"The output {name} is left out: GitHub takes 1 MB. Take it from --report.")
        del found[name]
    try:
        with Path(path).open("ab") as file:
            file.write(encode(found))
    except OSError as error:
        # The steps after this one would go on without what they need.
        sentence = f"The step's outputs cannot be written to {path}: {error.strerror}."
        raise BadConfiguration(sentence, remedy="Leave GITHUB_OUTPUT as the runner set it.") from None


def _write_page(report: Report, run: Session) -> None:
    from lineal.ci.github.summary.page import page

    _append(run, lambda budget: page(report, budget))


def _append(run: Session, make: Callable[[int], str]) -> None:
    """Put a page behind what the step has in its summary so far; nothing where there is none, or no room."""
    path = run.options.environ.get("GITHUB_STEP_SUMMARY")
    if not path or not run.options.summary():
        return
    from lineal.ci.github.summary.page import BUDGET

    try:
        with Path(path).open("ab") as file:
            room = BUDGET - file.tell() - 2
            if room >= _LEAST:
                # What stands there already may lack its newline, and must not read the page as its own.
                file.write(b"\n\n" * (file.tell() > 0) + make(room).encode())
    except OSError as error:
        # GitHub's own file, which nobody chose: the run is as good without it.
        run.progress.warn(f"The job summary cannot be written: {error.strerror}.")


def _write(option: str, what: str, path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        sentence = f"The {what} cannot be written to {path}: {error.strerror}."
        raise BadConfiguration(sentence, remedy=f"Correct --{option}.") from None


def _table(report: Report, stream: TextIO) -> str:
    from lineal.report.select import columns, has_colour
    from lineal.report.table import summary

    return summary(report, colour=has_colour(stream, os.environ), width=columns(stream, os.environ))


def show(text: str) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from lineal.ci.github.log import guarded

        text = guarded(text, os.environ)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends, with a message and a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Whoever read our output has seen enough; a full disk is another matter.
        if not isinstance(error, BrokenPipeError):
            raise
