"""What there is of the wanted images and what has to be built, before a run and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lineal.dockerfile.stage import Stage, closure
from lineal.report.model import Outcome, StageReport
from lineal.stages.lookup import Candidate, Lookup, Resolution

ADOPTED = "another run published it first"


@dataclass
class BuildPlan:
    """What there is and what has to be built. `needed` holds the missing stages, dependencies first."""

    images: Mapping[str, Stage]
    findings: dict[str, Resolution] = field(default_factory=dict)
    needed: list[Stage] = field(default_factory=list)

    def candidate(self, stage: Stage) -> Candidate | None:
        finding = self.findings.get(stage.checksum)
        return finding.candidate if finding else None

    def stages(self) -> list[Stage]:
        return closure(list(self.images.values()))


def resolve(images: Mapping[str, Stage], lookup: Lookup) -> BuildPlan:
    """Ask for the last stage of every image; for the images that miss, ask for all the rest at once."""
    outlook = BuildPlan(images)
    last = {stage.checksum: stage for stage in images.values()}
    outlook.findings |= lookup.find(list(last))
    missing = [stage for stage in last.values() if outlook.candidate(stage) is None]
    rest = [stage.checksum for stage in closure(missing) if stage.checksum not in outlook.findings]
    if rest:
        outlook.findings |= lookup.find(rest)
    outlook.needed = needed(missing, outlook)
    return outlook


def needed(missing: Sequence[Stage], outlook: BuildPlan) -> list[Stage]:
    """The missing stages, and those that they are built from, as far as these are missing too."""
    found: dict[str, Stage] = {}
    queue = list(missing)
    while queue:
        stage = queue.pop()
        if stage.checksum not in found and outlook.candidate(stage) is None:
            found[stage.checksum] = stage
            queue.extend(stage.dependencies())
    return [stage for stage in closure(list(missing)) if stage.checksum in found]


def reconcile(outlook: BuildPlan, lookup: Lookup, reports: Mapping[str, StageReport]) -> None:
    """A last look at what was chosen among publications of the same moment: every run reports the same winner."""
    for checksum, finding in lookup.settle(outlook.findings).items():
        outlook.findings[checksum] = finding
        if checksum in reports and finding.candidate is not None:
            made = reports[checksum]
            made.outcome, made.reason = "adopted", ADOPTED
            made.tag, made.digest = finding.candidate.tag, finding.candidate.digest


def title(stage: Stage) -> str:
    """Short, for people, unique in a run: `api:12 RUN pip install`."""
    text = stage.text if len(stage.text) <= 70 else stage.text[:69] + "…"
    return f"{stage.image}:{stage.place.line} {text}"


def report(
    stage: Stage, outcome: Outcome, candidate: Candidate | None = None, reason: str = "", duration: float = 0.0,
    pulled: int = 0, pushed: int = 0,
) -> StageReport:  # fmt: skip
    return StageReport(
        image=stage.image,
        target=stage.target,
        line=stage.place.line or 0,
        instruction=stage.text,
        checksum=stage.checksum,
        tag=candidate.tag if candidate else None,
        digest=candidate.digest if candidate else None,
        outcome=outcome,
        duration=round(duration, 3),
        bytes_pulled=pulled,
        bytes_pushed=pushed,
        reason=reason,
        parent=stage.parent.checksum if stage.parent else None,
        inputs=[found.checksum for found in stage.dependencies() if found is not stage.parent],
    )
