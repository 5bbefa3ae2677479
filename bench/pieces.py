"""What can be measured by itself: races of a shape on a link, and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench import limits
from bench.action import action
from bench.branches import BRANCHES
from bench.caches import WORKLOADS
from bench.cases import Shape
from bench.history import history
from bench.large import LARGE
from bench.limits import Limit
from bench.link import SLOW, Link
from bench.project import APP
from bench.release import deploys
from bench.services import SERVICES

SHAPES: Sequence[Shape] = (APP, BRANCHES, SERVICES, LARGE)
LINKS: dict[str, Link | None] = {"slow": SLOW, "loopback": None}
_FEW_COMMITS = 200_000
"""For a run of everything; the piece `million` has a million."""

LIMITS: dict[str, Callable[[Path, int], Sequence[Limit]]] = {
    "memory": lambda scratch, repetitions: [limits.memory(scratch), limits.many_files(scratch, repetitions)],
    "images": lambda scratch, _: limits.many_images(scratch),
    "action": action,
    "deploy": deploys,
    "history": lambda scratch, _: history(scratch, _FEW_COMMITS),
    "million": lambda scratch, _: history(scratch),
}
CACHES = {f"caches-{workload.name.lower()}": workload for workload in WORKLOADS}
"""These only print: docs/caches.md has their numbers."""
ALL = [*(shape.name for shape in SHAPES), *(piece for piece in LIMITS if piece != "million")]
"""What is measured when nothing else is said."""


def shape_of(name: str) -> Shape | None:
    return next((shape for shape in SHAPES if shape.name == name), None)
