"""Lineal and its peers in turns, on one registry; an engine is new and empty before each measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import debian
from bench.buildkit import Buildkit, PrivateBuildkit
from bench.cases import ENGINES, Case, Shape
from bench.engine import PrivateEngine
from bench.link import Link, slowed
from bench.process import Failed
from bench.runc import PrivateRunc
from bench.sides import Docker, Lineal
from bench.traffic import AccessLog, Traffic, layers
from tests.servers import docker_registry

SIDES = (*ENGINES, "BuildKit", "inline")
"""Lineal with each of its engines, and its peers: `inline` is docker with its cache in the image."""
PEERS = SIDES[len(ENGINES) :]
_TRIES = 3


@dataclass
class Measured:
    """One side in one case. Of several runs the numbers are those of the run that had most."""

    seconds: list[float] = field(default_factory=list)
    requests: int = 0
    """The registry's count, as the next three."""
    bytes_read: int = 0
    bytes_again: int = 0
    """Of the blobs that were read and that this run had read or written before."""
    parent_layers_read: int = 0
    through_lineal: int = 0
    """Bytes of what a `RUN` made that went through Lineal's own process."""
    memory: int = 0
    """Bytes that Lineal and the processes that it started had at one moment."""

    def saw(self, seconds: float, traffic: Traffic) -> None:
        self.seconds.append(round(seconds, 3))
        self.requests = max(self.requests, traffic.requests)
        self.bytes_read = max(self.bytes_read, traffic.bytes_read)
        self.bytes_again = max(self.bytes_again, traffic.bytes_again)


Table = dict[str, dict[str, Measured]]
"""By side and case."""


@dataclass
class Race:
    scratch: Path
    registry: str
    """As the sides see it: perhaps over a link."""
    log: AccessLog
    base: str
    shape: Shape
    sides: Sequence[str]
    table: Table = field(default_factory=dict)
    crashes: int = 0
    """How often docker's side had to be run again because its engine had died."""

    def round(self, number: int) -> None:
        """All cases once, in repositories of their own; the sides take turns in going first."""
        checkout = self.shape.create(self.scratch / f"round-{number}", self.base)
        turn = number % len(self.sides)
        sides = {name: self._side(name, checkout.path, number) for name in (*self.sides[turn:], *self.sides[:turn])}
        references = dict.fromkeys(sides, "")
        for case in self.shape.cases:
            if case.change is not None:
                case.change(checkout, number + 1)
            for name, side in sides.items():
                kept = self.table.setdefault(name, {}).setdefault(case.name, Measured())
                if isinstance(side, Lineal):
                    references[name] = self._lineal(case, side, references[name], kept)
                else:
                    self._peer(side, kept)
                print(f"  {case.name}: {name} {kept.seconds[-1]:.2f} s, {kept.requests} requests", flush=True)

    def _side(self, name: str, checkout: Path, number: int) -> Lineal | Docker | Buildkit:
        repository = f"{self.registry}/round-{number}/{name.lower()}"
        place = self.scratch / f"engine-{name}"
        match name:
            case "runc":
                return Lineal(checkout, repository, PrivateRunc(place))
            case "buildkit":
                return Lineal(checkout, repository, PrivateBuildkit(place, self.registry))
            case "docker":
                return Lineal(checkout, repository, PrivateEngine(place))
            case "BuildKit":
                return Buildkit(checkout, repository, PrivateBuildkit(place, self.registry), self.shape.targets)
        return Docker(checkout, repository, PrivateEngine(place), self.shape.targets)

    def _lineal(self, case: Case, side: Lineal, before: str, kept: Measured) -> str:
        """Measure; gives the image's reference. `before` is the one of the case before."""
        parents = set(layers(before)) if before else set()
        with _emptied(side.engine):
            self.log.skip()
            seconds, report, memory = side.build(with_engine=case.with_engine)
            traffic = self.log.take()
        _check(case, report)
        kept.saw(seconds, traffic)
        kept.memory = max(kept.memory, memory)
        kept.parent_layers_read = max(kept.parent_layers_read, len(parents & traffic.blobs))
        made = [list(layers(f"{side.repository}:stage@{stage['digest']}").items())[-1] for stage in _runs(report)]
        through = sum(size for digest, size in made if digest in traffic.through_lineal)
        kept.through_lineal = max(kept.through_lineal, through)
        return str(report["images"][0]["ref"])

    def _peer(self, side: Docker | Buildkit, kept: Measured) -> None:
        """An engine that died says nothing about speed: such a run is repeated, and counted in `crashes`."""
        for number in range(_TRIES):
            with _emptied(side.engine):
                self.log.skip()
                try:
                    kept.saw(side.build(), self.log.take())
                    return
                except Failed as failure:
                    if side.engine.alive() or number == _TRIES - 1:
                        raise
                    self.crashes += 1
                    print(f"  {side.name}: the engine crashed, again ({failure}\n{side.engine.last_words()})")


@contextmanager
def _emptied(engine: PrivateEngine | PrivateBuildkit | PrivateRunc) -> Iterator[None]:
    """It is there with nothing in it, and afterwards gone: it takes no time from the others."""
    engine.empty()
    try:
        yield
    finally:
        engine.stop()


def _runs(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The RUN stages that were built, once each: images share stages."""
    built = [one for one in report["stages"] if one["outcome"] == "built" and one["instruction"].startswith("RUN")]
    return list({stage["digest"]: stage for stage in built}.values())


def _check(case: Case, report: dict[str, Any]) -> None:
    if len(_runs(report)) != case.runs:
        raise Failed(f"{case.name}: Lineal built {len(_runs(report))} RUN stages instead of {case.runs}.")


@contextmanager
def open_race(scratch: Path, shape: Shape, sides: Sequence[str], link: Link | None = None) -> Iterator[Race]:
    directory = scratch / "registry"
    with docker_registry(directory) as registry, slowed(registry, link, scratch / "link.log") as seen:
        debian.push(f"{registry}/{debian.NAME}")
        shape.prepare(registry)
        yield Race(scratch, seen, AccessLog(directory), f"{seen}/{debian.NAME}", shape, sides)
