"""When each stage of a run was made, as a Mermaid picture: what ran beside what, and what the run waited for."""

from __future__ import annotations

import re
from itertools import groupby

from lineal.report.model import Report, StageReport
from lineal.text import duration

_SHORTEST = 1.0
"""Seconds of a run below which nobody wants to know where they went."""
_BARS = 40
_LABEL = 48
_KEPT = re.compile(r"[^A-Za-z0-9 /=._-]+")
"""Mermaid reads other signs as its own."""


def timeline(report: Report) -> str:
    """The fenced picture; empty for a run that made nothing, or that was over at once."""
    made = [stage for stage in report.stages if stage.ended > stage.began]
    if len(made) < 2 or max(stage.ended for stage in made) < _SHORTEST:
        return ""
    shown = sorted(made, key=lambda stage: stage.began - stage.ended)[:_BARS]
    waited = _waited_for(made)
    lines = ["```mermaid", "gantt", "  dateFormat x", "  axisFormat %M:%S"]
    # In the order of the report, in which the stages of an image stand together.
    for image, stages in groupby((stage for stage in report.stages if stage in shown), key=lambda stage: stage.image):
        lines.append(f"  section {_words(image)}")
        lines += [_bar(stage, stage.checksum in waited) for stage in stages]
    if report.release is not None and report.release.duration:
        begin = max(stage.ended for stage in made)
        lines += ["  section release", _line(report.release.name, "crit", begin, begin + report.release.duration)]
    return "\n".join([*lines, "```"])


def _waited_for(made: list[StageReport]) -> set[str]:
    """The checksums of the stages that made the run as long as it was: the last, what it waited for, and so on."""
    stages = {stage.checksum: stage for stage in made}
    found: set[str] = set()
    last: StageReport | None = max(made, key=lambda stage: stage.ended)
    while last is not None and last.checksum not in found:
        found.add(last.checksum)
        before = [stages[one] for one in (last.parent, *last.inputs) if one in stages]
        last = max(before, key=lambda stage: stage.ended, default=None)
    return found


def _bar(stage: StageReport, waited_for: bool) -> str:
    kind = "crit" if waited_for else "active"
    failed = "failed, " if stage.outcome == "failed" else ""
    took = duration(stage.ended - stage.began) or "0 s"
    return _line(
        f"{stage.line} {stage.instruction or 'metadata'}", kind, stage.began, stage.ended, f" ({failed}{took})"
    )


def _line(text: str, kind: str, begin: float, end: float, more: str = "") -> str:
    return f"  {_words(text)}{more} :{kind}, {round(begin * 1000)}, {max(round(end * 1000), round(begin * 1000) + 1)}"


def _words(text: str) -> str:
    return " ".join(_KEPT.sub(" ", text).split())[:_LABEL].strip() or "-"
