"""What a run leaves behind, however it ends: the table, the report, and what its CI takes from it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.commands.output import table_of
from lineal.errors import BadConfiguration, LinealError, Location, as_lineal_error
from lineal.oci import Traffic
from lineal.report.model import (
    ChangeReport,
    ContextReport,
    ErrorReport,
    ImageReport,
    ReleaseReport,
    Report,
    StageReport,
    encode,
)
from lineal.stages.plan import report as stage_report

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.dockerfile.stage import Stage
    from lineal.oci import Store
    from lineal.session.session import Session

_LEAST = 2_000
"""Bytes that a page needs at least."""


@dataclass
class Told:
    """What a command has come to so far. A command about no commit gives `report` in place of `result`."""

    result: BuildResult | None = None
    release: ReleaseReport | None = None
    changes: list[ChangeReport] = field(default_factory=list)
    report: Callable[[], Report] | None = None

    def keep(self, result: BuildResult) -> None:
        self.result = result

    def keep_release(self, release: ReleaseReport) -> None:
        self.release = release


@contextmanager
def reporting(session: Session, command: str, *, table: bool = True) -> Iterator[Told]:
    """Leaves the report of a run at its end, also of one that failed. A run that failed before it had anything to
    report leaves a page with its error."""
    told = Told()
    failure: BaseException | None = None
    try:
        yield told
    except BaseException as error:
        failure = error
        raise
    finally:
        if told.result is not None or told.report is not None:
            report = make_report(session, command, told)
            report.error = None if failure is None else error_report(failure)
            session.progress.close()
            if table:
                # A log that is gone changes neither what was done nor what is left behind.
                with suppress(OSError, ValueError):
                    sys.stderr.write(table_of(report, sys.stderr))
                    sys.stderr.flush()
            leave(report, session)
        elif failure is not None:
            leave_error(command, failure, session.settings.environ, session.settings.summary, session.progress.warn)


# --- the report -------------------------------------------------------------------------------------------------


def make_report(session: Session, command: str, told: Told) -> Report:
    if told.report is not None:
        report = told.report()
    else:
        assert told.result is not None
        report = _report_of_commit(session, command, told.result)
    report.release, report.changes = told.release, told.changes
    return report


def _report_of_commit(session: Session, command: str, result: BuildResult) -> Report:
    report = bare_report(session, command, session.loaded.project.project, session.store)
    context, dev = session.context, session.settings.dev.value
    report.context = ContextReport(
        provider=context.provider,
        event=context.event,
        commit=context.commit,
        branch=(session.position.branch if dev else context.branch) or None,
        tag=context.tag,
        pull_request=context.pull_request,
        may_write=context.may_write,
    )
    report.images = _images(result)
    missing = {stage.checksum for stage in result.missing()}
    report.stages = [_stage(stage, result, missing) for stage in result.plan.stages()]
    return report


def bare_report(session: Session, command: str, project: str | None, store: Store | None = None) -> Report:
    """Of a command that is about no commit."""
    traffic = Traffic() if store is None else store.traffic
    return Report(
        lineal=__version__,
        command=command,
        project=project,
        store=None if store is None else store.address,
        context=None,
        images=[],
        stages=[],
        duration=round(time.monotonic() - session.started, 3),
        requests=traffic.requests,
        bytes_read=traffic.bytes_read,
        bytes_sent=traffic.bytes_sent,
    )


def _images(result: BuildResult) -> list[ImageReport]:
    from lineal.deploy.values import image_values

    made, values, found = result.made(), image_values(result), []
    for name, stage in result.plan.images.items():
        built = any(ancestor.checksum in made for ancestor in stage.chain())
        image = ImageReport(name=name, checksum=stage.checksum, built=built)
        if name in values:
            value = values[name]
            image.ref, image.image = value.ref, value.image
            image.repository, image.tag, image.digest = value.repository, value.tag, value.digest
        found.append(image)
    return found


def _stage(stage: Stage, result: BuildResult, missing: set[str]) -> StageReport:
    if stage.checksum in result.reports:
        return result.reports[stage.checksum]
    resolution = result.resolutions.get(stage.checksum)
    if resolution is None:
        return stage_report(stage, "cached", reason="not asked for: a later stage is there")
    if resolution.candidate is not None:
        return stage_report(stage, "cached", resolution.candidate, resolution.reason)
    return stage_report(stage, "missing" if stage.checksum in missing else "cached", reason=resolution.reason)


def error_report(error: BaseException) -> ErrorReport:
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


# --- the files --------------------------------------------------------------------------------------------------


def leave(report: Report, session: Session) -> None:
    """Write every file that the run was asked for. A report that cannot be written never hides the run's own
    failure."""
    failures: list[BadConfiguration] = []
    for write in (_write_report, _write_dotenv, _write_outputs, _write_page):
        try:
            write(report, session)
        except BadConfiguration as error:
            failures.append(error)
    if report.error is None and failures:
        raise failures.pop(0)
    for failure in failures:
        sys.stderr.write(f"{failure}\n")


def leave_error(
    command: str, error: BaseException, environ: Mapping[str, str], summary: bool, warn: Callable[[str], None]
) -> None:
    """The page of a run that ended before it had anything to report."""
    from lineal.ci.github.summary.page import error_page

    with suppress(LinealError):
        _append(environ, summary, warn, lambda _: error_page(command, error_report(error)))


def _write_report(report: Report, session: Session) -> None:
    path = session.settings.report.value
    if path:
        _write("report", "report", path, encode(report))


def _write_dotenv(report: Report, session: Session) -> None:
    path = session.settings.dotenv.value
    if not path or report.context is None:
        return
    from lineal.ci.gitlab.dotenv import dotenv

    text, left_out = dotenv(report)
    if left_out:
        names = ", ".join(left_out)
        session.progress.warn(f"--dotenv has no variable for {names}: GitLab takes 20 variables and 5 KB, and each "
                              "needs a name of its own. Take them from --report.")  # fmt: skip
    _write("dotenv", "variables", path, text.encode())


def _write_outputs(report: Report, session: Session) -> None:
    """The outputs of a GitHub step, the action's or any other that runs Lineal."""
    environ = session.settings.environ
    path = environ.get("GITHUB_OUTPUT")
    if not path:
        return
    from lineal.ci.github.outputs import encode, host_path, outputs, too_much

    written = session.settings.report.value
    found = outputs(report, host_path(written, environ) if written else "")
    for name in too_much(found):
        session.progress.warn(f"The output {name} is left out: GitHub takes 1 MB. Take it from --report.")
        del found[name]
    try:
        with Path(path).open("ab") as file:
            file.write(encode(found))
    except OSError as error:
        # The steps after this one would go on without what they need.
        sentence = f"The step's outputs cannot be written to {path}: {error.strerror}."
        raise BadConfiguration(sentence, remedy="Leave GITHUB_OUTPUT as the runner set it.") from None


def _write_page(report: Report, session: Session) -> None:
    from lineal.ci.github.summary.page import page

    settings = session.settings
    _append(settings.environ, settings.summary, session.progress.warn, lambda budget: page(report, budget))


def _append(
    environ: Mapping[str, str], summary: bool, warn: Callable[[str], None], make: Callable[[int], str]
) -> None:
    """Put a page behind what the step has in its summary so far; nothing where there is none, or no room."""
    path = environ.get("GITHUB_STEP_SUMMARY")
    if not path or not summary:
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
        warn(f"The job summary cannot be written: {error.strerror}.")


def _write(option: str, what: str, path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        sentence = f"The {what} cannot be written to {path}: {error.strerror}."
        raise BadConfiguration(sentence, remedy=f"Correct --{option}.") from None
