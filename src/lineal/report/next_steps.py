"""What somebody whose run failed does next."""

from __future__ import annotations

from lineal.report.markup import Code
from lineal.report.model import Report

_AGAIN = (5, 130)
"""Exit codes of what may pass: unreachable, interrupted."""


def next_steps(report: Report, code: Code) -> list[str]:
    """Sentences, in the markup of `code`; of a run that failed."""
    assert report.error is not None
    failed = next((stage for stage in report.stages if stage.outcome == "failed"), None)
    status, may_write, lines = report.error.code, report.may_write, []
    if failed is not None and failed.output:
        lines.append("All that it printed is in the job's log, in the group of this stage.")
    if failed is not None and status == 1:
        command = code(f"lineal build {failed.image} --dev")
        lines.append(f"Try it on your machine, with uncommitted changes too: {command}.")
    published = may_write and all(image.digest for image in report.images)
    if failed is None and report.command in ("deploy", "converge") and status == 1 and published:
        lines.append(f"The images are published: {code('lineal deploy')} tries the release again without building.")
    if status in _AGAIN:
        lines.append("Run the job again when the cause is gone.")
    if report.context is not None and may_write and (failed is not None or status in _AGAIN):
        lines.append("Stages that were finished stay published: the next run goes on after them.")
    return lines
