"""Jobs of a pipeline that build images of several platforms, each on a runner whose machine runs what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lineal.report.model import ImageReport, Report, StageReport
from lineal.report.stage_graph import StageGraph


@dataclass(frozen=True, slots=True)
class PlatformJob:
    """`lineal build IMAGE --platform PLATFORMS`, on a runner of the platform `machine`."""

    image: str
    platforms: tuple[str, ...]
    machine: str


def has_several(report: Report) -> bool:
    """Whether the images are for more than one platform, all together."""
    return len({part.name for image in report.images for part in image.platforms}) > 1


def platform_jobs(report: Report, names: Iterable[str]) -> dict[str, list[PlatformJob]]:
    """The jobs of each of these images, which also build the parts of images that it needs or requires. Whichever of
    them ends last finishes it.

    The parts for one platform are built on such a machine where a `RUN` of theirs is for it; cross-compiled ones,
    whose `RUN`s are for another, where these are; what has no `RUN` left, anywhere."""
    graph = StageGraph(report)
    images = {image.name: image for image in report.images}
    return {
        name: _jobs(name, [images[one] for one in [*sorted(graph.built_with(name)), name]], graph) for name in names
    }


def _jobs(name: str, images: Sequence[ImageReport], graph: StageGraph) -> list[PlatformJob]:
    runs: dict[str, set[str]] = {}
    for image in images:
        for part in image.platforms:
            # One whose stages are there is only to be finished, which any job does.
            missing = graph.past(part.checksum) if part.wanted and not part.published else []
            runs.setdefault(part.name, set()).update(stage.platform for stage in missing if _is_run(stage))
    machines = {platform: _machine(platform, found) for platform, found in runs.items()}
    chosen = [machine for machine in machines.values() if machine] or list(runs)[:1]
    jobs: dict[str, list[str]] = {machine: [] for machine in dict.fromkeys(chosen)}
    for platform, machine in machines.items():
        jobs[machine or chosen[0]].append(platform)
    return [PlatformJob(name, tuple(platforms), machine) for machine, platforms in jobs.items() if platforms]


def _machine(platform: str, runs: set[str]) -> str:
    """Where the parts for a platform are built; empty for anywhere."""
    return platform if platform in runs else min(runs, default="")


def _is_run(stage: StageReport) -> bool:
    return stage.outcome == "missing" and stage.instruction.partition(" ")[0].upper() == "RUN"
