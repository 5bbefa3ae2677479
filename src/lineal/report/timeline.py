"""When each stage of a run was made: what ran beside what, and what the run waited for."""

from __future__ import annotations

from lineal.report.model import Report, StageReport
from lineal.text import duration
from lineal.value import dataclass

_SHORTEST = 1.0
"""Seconds of a run below which nobody wants to know where they went."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage, or the release after the last of them. Seconds after building began; untrusted texts."""

    section: str
    """The image, or `release`."""
    text: str
    began: float
    ended: float
    waited_for: bool
    """Whether the run would have been shorter without it."""
    failed: bool = False

    @property
    def took(self) -> str:
        return duration(self.ended - self.began) or "0 s"


def bars(report: Report, most: int) -> list[Bar]:
    """At most `most` stages, those that the run waited for before others, and long ones before short ones; in the
    order of the report, in which those of an image stand together. None for a run that made less than two, or that
    was over at once."""
    made = [stage for stage in report.stages if stage.ended > stage.began]
    if len(made) < 2 or max(stage.ended for stage in made) < _SHORTEST:
        return []
    waited = _waited_for(made)
    telling = sorted(made, key=lambda stage: (stage.checksum not in waited, stage.began - stage.ended))[:most]
    shown = {id(stage) for stage in telling}
    found = [_bar(stage, stage.checksum in waited) for stage in made if id(stage) in shown]
    if report.release is not None and report.release.duration:
        began = max(stage.ended for stage in made)
        found.append(Bar("release", report.release.name, began, began + report.release.duration, True))
    return found


def made_in(report: Report) -> int:
    """How many stages could have a bar."""
    return sum(stage.ended > stage.began for stage in report.stages)


def _bar(stage: StageReport, waited_for: bool) -> Bar:
    text = f"{stage.line} {stage.instruction or 'metadata'}"
    return Bar(stage.image, text, stage.began, stage.ended, waited_for, stage.outcome == "failed")


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
