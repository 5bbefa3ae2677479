"""What a run came to: the references of its images, and its report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.dockerfile.stage import Stage
from lineal.oci import Traffic
from lineal.report.model import ContextReport, ImageReport, Report, StageReport
from lineal.stages.plan import BuildPlan, report

if TYPE_CHECKING:
    from lineal.deploy.values import ImageValue
    from lineal.oci import Store
    from lineal.session.session import Session

_MADE = ("built", "assembled")


def image_values(run: Session, outlook: BuildPlan) -> dict[str, ImageValue]:
    """The references of the images that are published."""
    from lineal.deploy.values import ImageValue

    return {
        name: ImageValue.of(run.store.address, candidate.tag, candidate.digest)
        for name, stage in outlook.images.items()
        if (candidate := outlook.candidate(stage)) is not None and is_published(run, stage)
    }


def is_published(run: Session, stage: Stage) -> bool:
    """Whether others can see a stage that this run has: what a run that may not write has made, they cannot."""
    made = run.reports.get(stage.checksum)
    return run.context.may_write or made is None or made.outcome not in _MADE


def make_report(run: Session, command: str, outlook: BuildPlan) -> Report:
    context, traffic = run.context, run.store.traffic
    return Report(
        lineal=__version__,
        command=command,
        project=run.loaded.project.project,
        store=run.store.address,
        context=ContextReport(
            provider=context.provider,
            event=context.event,
            commit=context.commit,
            branch=(run.line.branch if run.dev else context.branch) or None,
            tag=context.tag,
            pull_request=context.pull_request,
            may_write=context.may_write,
        ),
        images=[_image(run, name, outlook) for name in outlook.images],
        stages=[_stage(run, stage, outlook) for stage in outlook.stages()],
        duration=round(time.monotonic() - run.started, 3),
        requests=traffic.requests,
        bytes_read=traffic.bytes_read,
        bytes_sent=traffic.bytes_sent,
    )


def bare_report(run: Session, command: str, project: str | None, store: Store | None = None) -> Report:
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
        duration=round(time.monotonic() - run.started, 3),
        requests=traffic.requests,
        bytes_read=traffic.bytes_read,
        bytes_sent=traffic.bytes_sent,
    )


def _image(run: Session, name: str, outlook: BuildPlan) -> ImageReport:
    stage = outlook.images[name]
    made = {checksum for checksum, stage in run.reports.items() if stage.outcome in _MADE}
    built = any(ancestor.checksum in made for ancestor in stage.chain())
    found = ImageReport(name=name, checksum=stage.checksum, built=built)
    value = image_values(run, outlook).get(name)
    if value is not None:
        found.ref, found.image = value.ref, value.image
        found.repository, found.tag, found.digest = value.repository, value.tag, value.digest
    return found


def _stage(run: Session, stage: Stage, outlook: BuildPlan) -> StageReport:
    if stage.checksum in run.reports:
        return run.reports[stage.checksum]
    finding = outlook.findings.get(stage.checksum)
    if finding is None:
        return report(stage, "cached", reason="not asked for: a later stage is there")
    if finding.candidate is not None:
        return report(stage, "cached", finding.candidate, finding.reason)
    wanted = any(stage is needed for needed in outlook.needed)
    return report(stage, "missing" if wanted else "cached", reason=finding.reason)
