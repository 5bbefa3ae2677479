"""The graph of a report: the stages of an image, and the images that it needs or requires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from lineal.report.model import ImageReport, Report, StageReport, TagReport

ORDER = ("failed", "missing", "built", "assembled", "adopted", "cached")
"""Outcomes, the one that tells most first."""

MADE = ("built", "assembled")
"""Outcomes of a stage that this run has made itself."""

WORDS = {"missing": "to build"}
"""Outcomes that people read in other words."""


class StageGraph:
    """The graph of a report's stages. An image's own stages are those that no image it needs has."""

    def __init__(self, report: Report) -> None:
        self.stages = {stage.checksum: stage for stage in report.stages}
        self.images = {image.name: image for image in report.images}
        order = {image.name: number for number, image in enumerate(report.images)}
        ends: dict[str, list[str]] = {}
        for image in report.images:
            for checksum in dict.fromkeys(_last(image)):
                ends.setdefault(checksum, []).append(image.name)
        past = {image.name: self._past(_last(image)) for image in report.images}
        self._needs = {image.name: _needed(image, order, ends, past[image.name]) for image in report.images}
        position = {stage.checksum: number for number, stage in enumerate(report.stages)}
        self._own: dict[str, list[StageReport]] = {}
        for name, checksums in past.items():
            own = checksums.difference(*(past[need] for need in self._needs[name]))
            self._own[name] = [self.stages[checksum] for checksum in sorted(own, key=position.__getitem__)]

    def before(self, stage: StageReport) -> list[StageReport]:
        """The stages that it is made from, its parent first."""
        checksums = [*([stage.parent] if stage.parent else []), *stage.inputs]
        return [self.stages[checksum] for checksum in dict.fromkeys(checksums) if checksum in self.stages]

    def own(self, image: str) -> list[StageReport]:
        """Dependencies first. Two images without a need of each other may share stages."""
        return self._own[image]

    def needs(self, image: str) -> list[str]:
        """The images whose last stage it is made from, also through others. Of two images that end in the same
        stage, the later one needs the first."""
        return self._needs[image]

    def built_with(self, image: str) -> set[str]:
        """The images that `lineal build IMAGE` builds: those that it needs or requires, what these need or require,
        and so on; the image itself only where one of them leads back to it."""
        found: set[str] = set()
        queue = [image]
        while queue:
            name = queue.pop()
            direct = {*self._needs[name], *self.requires(name)} - found
            found |= direct
            queue += direct
        return found

    def requires(self, image: str) -> list[str]:
        """The images of the report that it requires directly."""
        return [name for name in self.images[image].requires if name in self.images]

    def past(self, last: str) -> list[StageReport]:
        """A stage by its checksum, and all that it is made of."""
        return [self.stages[checksum] for checksum in self._past([last])]

    def _past(self, last: Iterable[str]) -> set[str]:
        found: set[str] = set()
        queue = [self.stages[checksum] for checksum in last if checksum in self.stages]
        while queue:
            stage = queue.pop()
            if stage.checksum not in found:
                found.add(stage.checksum)
                queue.extend(self.before(stage))
        return found


def worst(stages: Iterable[StageReport]) -> str:
    """The outcome that tells most of these stages; `cached` when there are none."""
    found = {stage.outcome for stage in stages}
    return next((outcome for outcome in ORDER if outcome in found), "cached")


def counted(stages: Iterable[StageReport], order: Iterable[str] = ORDER) -> str:
    """`1 failed, 4 cached`, in this order."""
    counts: Counter[str] = Counter(stage.outcome for stage in stages)
    return ", ".join(f"{counts[one]} {WORDS.get(one, one)}" for one in order if counts[one])


def stale(report: Report) -> dict[str, list[str]]:
    """The images that are not there or lack a tag, each of them built by itself, in the order of their building:
    name -> those of them that it needs or requires. Images of which each is built with the other are built by the
    first of them: tests that are made of the image that requires them."""
    graph = StageGraph(report)
    names = [image.name for image in report.images if not _is_there(image) or planned(image.tags)]
    others = {name: graph.built_with(name) for name in names}
    home = {
        name: next((first for first in names if first in others[name] and name in others[first]), name)
        for name in names
    }
    return {
        name: [one for one in dict.fromkeys(home[one] for one in names if one in others[name]) if one != name]
        for name in names
        if home[name] == name
    }


def _is_there(image: ImageReport) -> bool:
    """Whether nothing of it is missing. Of several platforms that are never finished there is no digest."""
    parts_only = len(image.platforms) > 1 and not image.tags and all(part.published for part in image.platforms)
    return image.digest is not None or parts_only


def planned(tags: Iterable[TagReport]) -> bool:
    """Whether a build would write one of these tags."""
    return any(tag.outcome == "planned" for tag in tags)


def _last(image: ImageReport) -> list[str]:
    """The checksums of its last stages."""
    return [part.checksum for part in image.platforms] or [image.checksum]


def _needed(image: ImageReport, order: Mapping[str, int], ends: Mapping[str, list[str]], past: set[str]) -> list[str]:
    """The images that end in one of these stages, in order."""
    names = {name for checksum in past & ends.keys() for name in ends[checksum]}
    names -= {name for end in _last(image) for name in ends.get(end, ()) if order[name] >= order[image.name]}
    return sorted(names, key=order.__getitem__)
