"""The result of a build: the plan, the publications that exist now, and the outcome of each stage that the run
made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from lineal.dockerfile.stage import Stage
from lineal.oci.types import Manifest
from lineal.report.model import StageReport, TagReport
from lineal.stages.candidate import Candidate
from lineal.stages.lookup import Lookup, Resolution
from lineal.stages.plan import BuildPlan, candidate_of
from lineal.value import dataclass

MADE = ("built", "assembled")
"""The outcomes of a stage that this run itself has made."""
ADOPTED = "another run published it first"


NOT_BUILT = "sha256:" + "0" * 64
"""Stands for the digest of an image that is not built yet."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image that others can pull: `repository:tag@digest`; without a digest, one that is not there yet."""

    repository: str
    tag: str
    digest: str = ""
    manifest: Manifest | None = None
    """Of a finished image; of one for several platforms its index ..."""
    parts: Mapping[str, Manifest] = field(default_factory=dict)
    """... and the image for each platform."""

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}@{self.digest}"


@dataclass(frozen=True)
class BuildResult:
    """`store` is the store's address. `resolutions` and `reports` go by checksum."""

    plan: BuildPlan
    store: str
    may_write: bool
    """Whether others can see what this run has made."""
    resolutions: Mapping[str, Resolution]
    reports: Mapping[str, StageReport]
    finished: Mapping[str, ImageReference] = field(default_factory=dict)
    """The finished images by name, of a run that publishes; without those that have no `publish`."""
    tags: Mapping[str, Sequence[TagReport]] = field(default_factory=dict)
    """What became of their tags, or would."""
    configs: Mapping[str, str] = field(default_factory=dict)
    """The digests of configs of images that are not finished, by name, where the command tells them."""

    @classmethod
    def before(cls, plan: BuildPlan, store: str, may_write: bool) -> BuildResult:
        """The result of a run that has built nothing (yet)."""
        return cls(plan, store, may_write, plan.resolutions, {})

    def candidate(self, stage: Stage) -> Candidate | None:
        return candidate_of(stage, self.resolutions)

    def stages(self) -> dict[str, dict[str, Candidate]]:
        """The last stages that others can pull, by image and platform; of those images that are whole."""
        public = {
            name: {
                platform: candidate
                for platform, stage in parts.items()
                if (candidate := self.candidate(stage)) is not None and self._is_public(stage)
            }
            for name, parts in self.plan.images.items()
        }
        return {name: there for name, there in public.items() if len(there) == len(self.plan.images[name])}

    def published(self) -> dict[str, ImageReference]:
        """The images that others can pull, by name: finished ones where there are such. One of several platforms is
        nothing else."""
        found = {}
        for name, parts in self.stages().items():
            one = self.finished.get(name)
            if one is None and len(parts) == 1:
                (stage,) = parts.values()
                one = ImageReference(self.store, stage.tag, stage.digest)
            if one is not None and one.digest:
                found[name] = one
        return found

    def references(self) -> dict[str, str]:
        """The same as `repository:tag@digest`."""
        return {name: str(image) for name, image in self.published().items()}

    def missing(self) -> list[Stage]:
        """The needed stages that are still not there."""
        return [stage for stage in self.plan.needed if self.candidate(stage) is None]

    def made(self) -> set[str]:
        """The checksums of the stages that this run has made."""
        return {checksum for checksum, stage in self.reports.items() if stage.outcome in MADE}

    def _is_public(self, stage: Stage) -> bool:
        return self.may_write or stage.checksum not in self.made()


def look_again(result: BuildResult, lookup: Lookup) -> BuildResult:
    """What other runs have published meanwhile of the images of which this run has built a part: whoever looks after
    it has published sees what was published before, so one of two runs sees both parts."""
    absent = [stage.checksum for stage in result.plan.absent(result.resolutions) if not stage.unknown]
    found = dict(zip(absent, lookup.pool.map(lookup.find_now, absent), strict=True))
    late = replace(result, resolutions={**result.resolutions, **found})
    return settle(late, lookup) if any(one.young for one in found.values()) else late


def settle(result: BuildResult, lookup: Lookup) -> BuildResult:
    """A last look at what was chosen among publications of the same moment: every run reports the same winner."""
    from msgspec.structs import replace as changed

    final, reports = dict(result.resolutions), dict(result.reports)
    for checksum, resolution in lookup.settle(result.resolutions).items():
        final[checksum] = resolution
        candidate = resolution.candidate
        if checksum in reports and candidate is not None:
            reports[checksum] = changed(
                reports[checksum], outcome="adopted", reason=ADOPTED, tag=candidate.tag, digest=candidate.digest
            )
    return replace(result, resolutions=final, reports=reports)
