"""What is measured: shapes of repositories and, for each, the cases of a working day with their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.servers import Repository

Engine = Literal["runc", "buildkit", "docker"]
ENGINES: tuple[Engine, ...] = ("runc", "buildkit", "docker")


@dataclass(frozen=True)
class Case:
    """One row of a table. The repository is changed, and each side builds that commit."""

    name: str
    at_least: Mapping[Engine, float]
    """The ratio best peer / Lineal that is to be reached, by Lineal's engine."""
    change: Callable[[Repository, int], None] | None = None
    """By the number of the round, from 1 on."""
    with_engine: bool = True
    runs: int = 0
    """How many `RUN` stages Lineal has to build: a case that does not do its work is no measurement."""
    most_requests: int | None = None
    """What Lineal may ask of the registry; without a number, twice of what BuildKit asks."""
    most_parent_layers: int | None = None
    """How many layers of the image before the change may be read."""
    why: str = ""
    """The reason, as far as it is known, where it misses a limit."""


@dataclass(frozen=True)
class Shape:
    """A repository. `create` makes it in a directory, on a base image of the bench's registry."""

    name: str
    title: str
    create: Callable[[Path, str], Repository]
    cases: Sequence[Case]
    targets: Sequence[str] = ("",)
    """Of the Dockerfile: an image each; the empty one is the last."""
    prepare: Callable[[str], None] = field(default=lambda _registry: None)
    """Pushes more than the base image to a registry."""


def at_least(runc: float, buildkit: float, docker: float) -> Mapping[Engine, float]:
    return {"runc": runc, "buildkit": buildkit, "docker": docker}


NOTHING = Case(
    "nothing changed",
    at_least(3, 6, 3),
    with_engine=False,
    most_requests=3,
    most_parent_layers=0,
    why="some 0.11 s of it are Python reading its modules, and two round trips follow one another; on loopback "
    "BuildKit is done in that time",
)
"""The first two of these are asked for by the issues; a daemon is asked nothing, so that it cannot matter which."""
