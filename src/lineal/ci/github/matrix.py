"""The images that need work as jobs of a pipeline: a matrix for GitHub, where jobs have no order among them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from lineal.ci.runners import Runners, labels
from lineal.report.model import Report
from lineal.report.platform_jobs import has_several, platform_jobs
from lineal.report.stage_graph import stale

_MOST = 256
"""Jobs that GitHub takes in a matrix; with more the whole workflow's run fails."""
_RUNNERS: Runners = {
    "linux/amd64": ("ubuntu-24.04",),
    "linux/386": ("ubuntu-24.04",),
    "linux/arm64": ("ubuntu-24.04-arm",),
}
"""GitHub's own."""


def matrix(report: Report, runners: Runners | None = None) -> str:
    """A job for each stale image that no other stale image needs or requires: jobs start at the same time, so such an
    image is built by the jobs that need or require it, not by a job of its own beside them. Of more images than
    GitHub takes jobs, neighbours share one: their names with a blank between.

    Where images are for several platforms, or `runners` names some, each image has a job for each of them, with a
    label for `runs-on`."""
    found = stale(report)
    needed = {need for needs in found.values() for need in needs}
    names = [name for name in found if name not in needed]
    include = _by_platform(report, names, runners or {}) if runners or has_several(report) else _by_image(names)
    return json.dumps({"include": include}, separators=(",", ":")) + "\n"


def _by_image(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"image": " ".join(share)} for share in _shares(names, _MOST)]


def _by_platform(report: Report, names: Iterable[str], runners: Runners) -> list[dict[str, str]]:
    images: dict[tuple[str, str], list[str]] = {}
    for jobs in platform_jobs(report, names).values():
        for job in jobs:
            (runner, *_) = labels(job.machine, runners, _RUNNERS)
            images.setdefault((",".join(job.platforms), runner), []).append(job.image)
    total = sum(map(len, images.values()))
    return [
        {"image": " ".join(share), "platform": platform, "runner": runner}
        for (platform, runner), group in images.items()
        for share in _shares(group, len(group) if total <= _MOST else max(1, _MOST * len(group) // total))
    ]


def _shares(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """The names in at most so many parts, of neighbours."""
    jobs = min(len(names), most)
    return [names[len(names) * job // jobs : len(names) * (job + 1) // jobs] for job in range(jobs)]
