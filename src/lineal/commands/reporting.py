"""The report of a run, however the run ends: the table, the file, and the results for its CI."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.ci.provider import every_provider
from lineal.ci.results import ResultFiles
from lineal.commands.output import table_of
from lineal.errors import BadConfiguration, LinealError, Location, as_lineal_error
from lineal.oci import Traffic
from lineal.report.model import (
    ChangeReport,
    ContextReport,
    ErrorReport,
    HandoverReport,
    ImageReport,
    PlatformReport,
    ReleaseReport,
    Report,
    StageReport,
    encode,
)
from lineal.session.leaving import mask_error, mask_report
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.dockerfile.stage import Stage
    from lineal.oci import Store
    from lineal.session.session import Session


@dataclass
class Told:
    """The state of a command so far. A command about no commit gives `report` in place of `result`."""

    result: BuildResult | None = None
    release: ReleaseReport | None = None
    changes: list[ChangeReport] | None = None
    handover: HandoverReport | None = None
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
        mask_error(error, session.hidden.mask)
        failure = error
        raise
    finally:
        if told.result is not None or told.report is not None:
            report = make_report(session, command, told)
            report.error = None if failure is None else error_report(failure)
            report = mask_report(report, session.hidden.mask)
            session.progress.close()
            if table:
                # A log that is gone changes neither what was done nor what is left behind.
                with suppress(OSError, ValueError):
                    sys.stderr.write(table_of(report, sys.stderr))
                    sys.stderr.flush()
            leave(report, session)
        elif failure is not None:
            leave_error(command, failure, session.settings.environ, files_of(session))


# --- the report -------------------------------------------------------------------------------------------------


def expect_report() -> None:
    """Have Python read what a report is made with, beside what the caller waits for."""
    import lineal.deploy.values
    import lineal.report.table
    import lineal.stages.durations  # noqa: F401


def make_report(session: Session, command: str, told: Told) -> Report:
    if told.report is not None:
        report = told.report()
    else:
        assert told.result is not None
        report = _report_of_commit(session, command, told.result)
    report.release, report.changes, report.handover = told.release, told.changes, told.handover
    return report


def _report_of_commit(session: Session, command: str, result: BuildResult) -> Report:
    from lineal.stages.durations import known_durations

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
    for final in session.own_stores.finals:
        report.requests += final.traffic.requests
        report.bytes_read += final.traffic.bytes_read
        report.bytes_sent += final.traffic.bytes_sent
    report.images = _images(result)
    for image in report.images:
        image.requires = list(session.loaded.project.images[image.name].requires)
    missing = {stage.checksum for stage in result.missing()}
    stages = result.plan.stages()
    report.stages = [_stage(stage, result, missing) for stage in stages]
    known = known_durations(stages, result.candidate)
    for stage in report.stages:
        # What a run that may not write keeps for itself went nowhere.
        stage.bytes_pushed *= context.may_write
        stage.saved = known.get(stage.checksum, 0) / 1000 if stage.outcome == "cached" else 0.0
    report.saved = round(sum(stage.saved for stage in report.stages), 3)
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
    last = {stage.checksum for stage in result.plan.last()}
    for name, parts in result.plan.images.items():
        first, *_ = parts.values()
        built = any(ancestor.checksum in made for stage in parts.values() for ancestor in stage.chain())
        image = ImageReport(name=name, checksum=first.checksum, built=built, platforms=_platforms(result, name, last))
        if name in values:
            value = values[name]
            image.ref, image.image = value.ref, value.image
            image.repository, image.tag, image.digest = value.repository, value.tag, value.digest
        manifest = result.finished[name].manifest if name in result.finished else None
        if manifest is not None:
            image.media_type, image.size = manifest.media_type, len(manifest.data)
            image.config = None if manifest.is_index else str(manifest.json["config"]["digest"])
        elif name in result.configs:
            image.config = result.configs[name]
        image.tags = list(result.tags.get(name, ()))
        found.append(image)
    return found


def _platforms(result: BuildResult, name: str, last: set[str]) -> list[PlatformReport]:
    """`last` has the checksums of the last stages that the run builds."""
    finished = result.finished[name].parts if name in result.finished else {}
    return [
        PlatformReport(
            name=platform,
            checksum=stage.checksum,
            digest=finished[platform].digest if platform in finished else None,
            published=result.candidate(stage) is not None,
            wanted=stage.checksum in last,
        )
        for platform, stage in result.plan.images[name].items()
    ]


def _stage(stage: Stage, result: BuildResult, missing: set[str]) -> StageReport:
    from lineal.stages.plan import report as stage_report

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
        id=found.id,
        remedy=found.remedy,
        file=place.file or None,
        line=place.line,
        key=place.key,
        code=found.exit_code,
        others=[error_report(one) for one in found.others],
    )


# --- the files --------------------------------------------------------------------------------------------------


def files_of(session: Session) -> ResultFiles:
    settings = session.settings
    return ResultFiles(
        session.progress.warn,
        report=settings.report.value,
        html=settings.report_html.value,
        dotenv=settings.dotenv.value,
        runners=settings.runners.value,
        summary=settings.summary,
    )


def leave(report: Report, session: Session) -> None:
    """Write every file that the run was asked for. A report that cannot be written never hides the run's own
    failure."""
    environ, files = session.settings.environ, files_of(session)
    failures: list[BadConfiguration] = []
    for write in (_write_report, _write_page, *(provider.write_results for provider in every_provider(environ))):
        try:
            write(report, files)
        except BadConfiguration as error:
            failures.append(error)
    if report.error is None and failures:
        raise failures.pop(0)
    for failure in failures:
        sys.stderr.write(f"{failure}\n")


def leave_error(command: str, error: BaseException, environ: Mapping[str, str], files: ResultFiles) -> None:
    """Leave the pages of a run that ended before it had anything to report."""
    told = error_report(error)
    with suppress(LinealError):
        _write_page(Report(lineal=__version__, command=command, project=None, store=None, context=None, images=[],
                           stages=[], error=told), files)  # fmt: skip
    with suppress(LinealError):
        for provider in every_provider(environ):
            provider.write_error(command, told, files)


def _write_report(report: Report, files: ResultFiles) -> None:
    if files.report:
        _write("report", files.report, encode(report))


def _write_page(report: Report, files: ResultFiles) -> None:
    if files.html:
        from lineal.report.html import page

        _write("report-html", files.html, page(report).encode())


def _write(option: str, path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        what = "report" if option == "report" else "page"
        sentence = f"The {what} cannot be written to {path}: {error.strerror}."
        raise BadConfiguration(sentence, id="LN-1017", remedy=f"Correct --{option}.") from None
