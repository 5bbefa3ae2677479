"""A failure on the page: the sentence, the end of the output, what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from lineal.ci.github.summary.markdown_escape import code, fenced, plain
from lineal.report.model import ErrorReport, Report, StageReport
from lineal.report.next_steps import next_steps

_OUTPUTS = 3
"""Failed stages whose output is shown: when several fail at once, the first ones tell."""
_OTHERS = 49
"""Failures that are shown beside the first; the log has all."""


def sentence(error: ErrorReport) -> str:
    """The error as a quotation block, its place first; and what else is wrong, a line each."""
    return "  \n".join(_sentence(one) for one in [error, *error.others[:_OTHERS]])


def _sentence(error: ErrorReport) -> str:
    place = error.file or ""
    if error.file and error.line is not None:
        place += f":{error.line}"
    parts = [*[f"{code(place)}:"] * bool(place), *([f"{code(error.key)}:"] if error.key else [])]
    parts += [plain(error.message, 2000)]
    if error.remedy:
        parts += [plain(error.remedy, 1000)]
    parts += [plain(f"[{error.id}]")]
    return f"> {' '.join(parts)}"


def output(report: Report) -> Iterator[str]:
    """The last lines that each failed stage printed, and the container of a release."""
    failed = [stage for stage in report.stages if stage.outcome == "failed" and stage.output]
    for stage in failed[:_OUTPUTS]:
        yield f"The last lines of {_name(stage)}:"
        yield fenced(stage.output)
    if report.release is not None and report.release.log:
        yield "The last lines of the container that failed:"
        yield fenced(report.release.log)


def steps(report: Report) -> str:
    """A list of what to do next."""
    lines = next_steps(report, code)
    return "\n".join(["**Next**", "", *(f"- {line}" for line in lines)]) if lines else ""


def _name(stage: StageReport) -> str:
    return f"{code(stage.instruction, 80)} ({code(f'{stage.image}, line {stage.line}')})"
