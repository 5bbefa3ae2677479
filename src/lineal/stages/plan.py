"""A build plan: what the store has of the wanted images, and what has to be built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lineal.context.awaited import shown
from lineal.dockerfile.stage import Stage, closure
from lineal.report.model import Outcome, StageReport
from lineal.stages.lookup import Candidate, Lookup, Resolution


@dataclass(frozen=True)
class BuildPlan:
    """`images` has the last stage of each image, `resolutions` what the store was found to have, by checksum.

    A plan holds resolutions of those stages only that had to be asked for."""

    images: Mapping[str, Stage]
    resolutions: Mapping[str, Resolution]
    needed: tuple[Stage, ...]
    """The missing stages, dependencies first."""

    def candidate(self, stage: Stage) -> Candidate | None:
        return candidate_of(stage, self.resolutions)

    def stages(self) -> list[Stage]:
        """Every stage of the images, dependencies first."""
        return closure(list(self.images.values()))

    def with_reasons(self, reasons: Mapping[str, str]) -> BuildPlan:
        """The same plan, with better reasons for some of its checksums."""
        better = {
            checksum: replace(self.resolutions[checksum], reason=reason) for checksum, reason in reasons.items()
        }
        return replace(self, resolutions={**self.resolutions, **better})


def resolve(images: Mapping[str, Stage], lookup: Lookup) -> BuildPlan:
    """Ask for the last stage of every image; for the images that miss, ask for all the rest at once. Nothing is known
    of a stage whose artifacts are not there."""
    last = {stage.checksum: stage for stage in images.values()}
    unknown = {
        stage.checksum: Resolution(None, f"unknown until built: {', '.join(map(shown, stage.unknown))}")
        for stage in closure(list(images.values())) if stage.unknown
    }  # fmt: skip
    found = lookup.find([checksum for checksum in last if checksum not in unknown]) | unknown
    missing = [stage for stage in last.values() if candidate_of(stage, found) is None]
    rest = [stage.checksum for stage in closure(missing) if stage.checksum not in found]
    if rest:
        found |= lookup.find(rest)
    return BuildPlan(images, found, tuple(needed(missing, found)))


def candidate_of(stage: Stage, resolutions: Mapping[str, Resolution]) -> Candidate | None:
    resolution = resolutions.get(stage.checksum)
    return resolution.candidate if resolution else None


def needed(missing: Sequence[Stage], resolutions: Mapping[str, Resolution]) -> list[Stage]:
    """The missing stages, and those that they are built from, as far as these are missing too."""
    found: dict[str, Stage] = {}
    queue = list(missing)
    while queue:
        stage = queue.pop()
        if stage.checksum not in found and candidate_of(stage, resolutions) is None:
            found[stage.checksum] = stage
            queue.extend(stage.dependencies())
    return [stage for stage in closure(list(missing)) if stage.checksum in found]


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
