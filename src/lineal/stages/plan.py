"""A build plan: what the store has of the wanted images, and what has to be built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import cache
from threading import Lock
from types import MappingProxyType

from lineal.context.awaited import shown
from lineal.dockerfile.stage import Parts, Platforms, Stage, closure, ends
from lineal.report.model import Outcome, StageReport
from lineal.stages.candidate import Candidate
from lineal.stages.lookup import Lookup, Resolution
from lineal.value import dataclass

_FEW = 8
"""Stages that are asked for one by one, at once: a list would be one more round trip."""


@dataclass(frozen=True)
class BuildPlan:
    """`images` has the last stages of each image, `resolutions` what the store was found to have, by checksum.

    A plan holds resolutions of those stages only that had to be asked for."""

    images: Mapping[str, Parts]
    resolutions: Mapping[str, Resolution]
    needed: tuple[Stage, ...]
    """The missing stages, dependencies first."""
    platforms: Platforms = frozenset()
    """Those that this run builds for; the other parts of its images are for other runs."""
    sboms: Mapping[str, Parts] = field(default_factory=dict)
    """The last stages of the SBOMs, of images that get one."""

    def candidate(self, stage: Stage) -> Candidate | None:
        return candidate_of(stage, self.resolutions)

    def last(self) -> list[Stage]:
        """The last stages of the images that this run builds, and of their SBOMs."""
        return [*ends(self.images, self.platforms), *ends(self.sboms, self.platforms)]

    def stages(self) -> list[Stage]:
        """Every stage of the images that this run would build if it were missing, dependencies first."""
        return closure(self.last())

    def absent(self, resolutions: Mapping[str, Resolution]) -> list[Stage]:
        """The last stages of the images and their SBOMs, for any platform, that are not there."""
        every = [*ends(self.images), *ends(self.sboms)]
        return [stage for stage in every if candidate_of(stage, resolutions) is None]

    def with_found(self, resolutions: Mapping[str, Resolution]) -> BuildPlan:
        """The same plan after more was found."""
        found = {**self.resolutions, **resolutions}
        missing = [stage for stage in self.last() if candidate_of(stage, found) is None]
        return replace(self, resolutions=found, needed=tuple(needed(missing, found)))

    def with_reasons(self, reasons: Mapping[str, str]) -> BuildPlan:
        """The same plan, with better reasons for some of its checksums."""
        better = {
            checksum: replace(self.resolutions[checksum], reason=reason) for checksum, reason in reasons.items()
        }
        return replace(self, resolutions={**self.resolutions, **better})


def expect(last: Iterable[Stage], lookup: Lookup) -> None:
    """Begin to ask for the last stages of images before `resolve` does; of the first that miss, for what they are
    made of as well, as far as these are few, and of many for the list that tells which are not there."""
    ends = {stage.checksum: stage for stage in last if not stage.unknown}
    asked: set[str] = set()
    guard = Lock()

    def below(checksum: str) -> list[str]:
        with guard:
            found = [
                stage.checksum for stage in reversed(closure([ends[checksum]]))
                if not stage.unknown and stage.checksum not in asked | ends.keys()
            ]  # fmt: skip
            if len(asked) + len(found) > _FEW:
                lookup.expect_absent()
                return []
            asked.update(found)
            return found

    lookup.expect(ends, below=below)


Recall = Callable[[Sequence[str]], Mapping[str, Resolution]]
"""Finds of these checksums those that an earlier run has believed in another way than by who published them."""


def resolve(
    images: Mapping[str, Parts], lookup: Lookup, platforms: Platforms = frozenset(),
    sboms: Mapping[str, Parts] = MappingProxyType({}), recall: Recall | None = None,
    meanwhile: Callable[[], None] = lambda: None, reading: Callable[[], None] | None = None,
) -> BuildPlan:  # fmt: skip
    """Ask for the last stages of every image and SBOM; for those of these `platforms` that miss, ask for what they
    are made of, and call `meanwhile` once. Where `reading` is given, what they are made of is read, and `reading` is
    called while it is. Nothing is known of a stage whose artifacts are not there."""
    last = {stage.checksum: stage for stage in [*ends(images), *ends(sboms)]}
    unknown = {
        stage.checksum: Resolution(None, f"unknown until built: {', '.join(map(shown, stage.unknown))}")
        for stage in closure(list(last.values())) if stage.unknown
    }  # fmt: skip
    missed = cache(meanwhile)
    found = lookup.find([checksum for checksum in last if checksum not in unknown], missed) | unknown
    wanted = {stage.checksum: stage for stage in [*ends(images, platforms), *ends(sboms, platforms)]}
    if recall is not None:
        found |= recall([checksum for checksum, stage in wanted.items() if candidate_of(stage, found) is None])
    missing = [stage for stage in wanted.values() if candidate_of(stage, found) is None]
    if missing:
        told = cache(reading) if reading is not None else None
        found |= _found_below(missing, found, lookup, missed, told)
        if told is not None:
            told()
    lookup.forget()
    return BuildPlan(images, found, tuple(needed(missing, found)), platforms, sboms)


def _found_below(
    missing: Sequence[Stage], known: Mapping[str, Resolution], lookup: Lookup, meanwhile: Callable[[], object],
    reading: Callable[[], object] | None,
) -> dict[str, Resolution]:  # fmt: skip
    """What the store has of that which missing stages are made of: the first that are there are enough. Few are asked
    for at once; of many a list tells which are not there, and all others are asked for where history hides one."""
    found = dict(known)
    rest = [stage.checksum for stage in closure(list(missing)) if stage.checksum not in found]
    absent = lookup.absent(rest) if len(rest) > _FEW else None
    found |= absent or {}
    first = rest if absent is None else _unknown(missing, found)
    lookup.expect(first, read=True)
    meanwhile()
    if absent is not None:
        found |= lookup.find(first, reading=reading)
        if _unknown(missing, found):
            lookup.expect((checksum for checksum in rest if checksum not in found), read=True)
    while unknown := _unknown(missing, found):
        found |= lookup.find(unknown, reading=reading)
    return found


def _unknown(missing: Sequence[Stage], found: Mapping[str, Resolution]) -> list[str]:
    """Of what missing stages are made of, the first of which nothing is known."""
    unknown: dict[str, None] = {}
    seen: set[str] = set()
    queue = list(missing)
    while queue:
        for stage in queue.pop().dependencies():
            if stage.checksum not in found:
                unknown[stage.checksum] = None
            elif stage.checksum not in seen and candidate_of(stage, found) is None:
                seen.add(stage.checksum)
                queue.append(stage)
    return list(unknown)


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
    platform = f" {stage.platform}" if stage.several else ""
    line = f":{stage.place.line}" if stage.place.line else ""
    return f"{stage.image}{line}{platform} {text}"


def report(
    stage: Stage, outcome: Outcome, candidate: Candidate | None = None, reason: str = "", duration: float = 0.0,
    pulled: int = 0, pushed: int = 0,
) -> StageReport:  # fmt: skip
    return StageReport(
        image=stage.image,
        target=stage.target,
        line=stage.place.line or 0,
        instruction=stage.text,
        platform=stage.platform,
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
