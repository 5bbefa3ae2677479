"""The cases of a working day, Lineal and its peer in turns; the engine is emptied before each measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal

from bench import debian, project
from bench.buildkit import Buildkit, PrivateBuildkit
from bench.engine import PrivateEngine
from bench.process import Failed
from bench.runc import PrivateRunc
from bench.sides import Docker, Lineal
from bench.traffic import AccessLog, layers
from tests.servers import Repository, docker_registry

_TRIES = 3


@dataclass
class Case:
    """One row of the table. `at_least` is the ratio peer/Lineal that is to be reached."""

    name: str
    at_least: float
    change: Callable[[Repository, int], None] | None = None
    with_engine: bool = True
    runs: int = 0
    """How many `RUN` stages Lineal has to build: a case that does not do its work is no measurement."""
    most_requests: int | None = None
    """What a run may ask of the registry, as far as there is a limit; see `requests` and so on."""
    most_bytes: int | None = None
    most_parent_layers: int | None = None
    most_through: int | None = None
    most_memory: int = 150_000_000
    lineal: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    requests: int = 0
    """Of the run that made the most; the registry's count, as the next two."""
    bytes_read: int = 0
    parent_layers_read: int = 0
    """How many layers of the image before the change were read."""
    through_lineal: int = 0
    """Bytes of what a `RUN` made that went through Lineal's own process."""
    memory: int = 0
    """Bytes that Lineal and the processes that it started had at one moment."""

    @property
    def ratio(self) -> float:
        return median(self.peer) / median(self.lineal)

    @property
    def frugal(self) -> bool:
        """Whether no run asked the registry for more than it may."""
        asked = (self.requests, self.bytes_read, self.parent_layers_read, self.through_lineal, self.memory)
        allowed = (
            self.most_requests, self.most_bytes, self.most_parent_layers, self.most_through, self.most_memory
        )  # fmt: skip
        return all(most is None or value <= most for value, most in zip(asked, allowed, strict=True))


def cases() -> list[Case]:
    return [
        Case("first build of all", 1 / 1.25, runs=1),
        Case("nothing changed", 10, with_engine=False, most_requests=3, most_bytes=99_999, most_parent_layers=0),
        Case("one source file changed", 6, project.change_source, with_engine=False, most_parent_layers=0),
        Case("a dependency layer changed", 1 / 1.1, project.change_dependencies, runs=1),
    ]


def buildkit_cases() -> list[Case]:
    """The same, beside BuildKit with its cache in the registry, on the same daemon."""
    return [replace(one, most_through=0) for one in _asking(1.0, 6, 6, 1.0)]


def runc_cases() -> list[Case]:
    """The same without a daemon, beside BuildKit with its cache in the registry."""
    return _asking(1.25, 3, 8, 1.25)


def _asking(*at_least: float) -> list[Case]:
    return [replace(case, at_least=least) for case, least in zip(cases(), at_least, strict=True)]


Create = Callable[[Path, str], Repository]
"""Makes a project in a directory, on a base image."""


@dataclass
class Bench:
    scratch: Path
    registry: str
    log: AccessLog
    engine: PrivateEngine | PrivateBuildkit | PrivateRunc
    """Lineal's."""
    beside: PrivateEngine | PrivateBuildkit
    """The peer's; mostly the same."""
    base: str
    crashes: int = 0
    """How often docker's side had to be run again because its engine had died."""

    def round(self, number: int, rows: list[Case], create: Create = project.create) -> None:
        """All cases once, in repositories of their own."""
        checkout = create(self.scratch / f"round-{number}", self.base)
        lineal = Lineal(checkout.path, f"{self.registry}/round-{number}/lineal", self.engine)
        peer = self._peer(checkout.path, f"{self.registry}/round-{number}/peer")
        reference = ""
        for case in rows:
            if case.change is not None:
                case.change(checkout, number + 1)
            if number % 2:
                self._measure_peer(case, peer)
            reference = self._lineal(case, lineal, reference)
            if not number % 2:
                self._measure_peer(case, peer)

    def _lineal(self, case: Case, side: Lineal, before: str) -> str:
        """Measure; gives the image's reference. `before` is the one of the case before."""
        parents = set(layers(before)) if before else set()
        self.engine.empty()
        self.log.skip()
        seconds, report, memory = side.build(with_engine=case.with_engine)
        traffic = self.log.take()
        runs = [
            stage
            for stage in report["stages"]
            if stage["outcome"] == "built" and stage["instruction"].startswith("RUN")
        ]
        if len(runs) != case.runs:
            raise Failed(f"{case.name}: Lineal built {len(runs)} RUN stages instead of {case.runs}.")
        for stage in runs:
            digest, size = list(layers(f"{side.repository}:stage@{stage['digest']}").items())[-1]
            case.through_lineal = max(case.through_lineal, size if digest in traffic.through_lineal else 0)
        case.lineal.append(seconds)
        case.memory = max(case.memory, memory)
        case.requests = max(case.requests, traffic.requests)
        case.bytes_read = max(case.bytes_read, traffic.bytes_read)
        case.parent_layers_read = max(case.parent_layers_read, len(parents & traffic.blobs))
        print(f"  {case.name}: Lineal {seconds:.2f} s", flush=True)
        return str(report["images"][0]["ref"])

    def _peer(self, checkout: Path, repository: str) -> Docker | Buildkit:
        if isinstance(self.beside, PrivateBuildkit):
            return Buildkit(checkout, repository, self.beside)
        return Docker(checkout, repository, self.beside)

    def _measure_peer(self, case: Case, side: Docker | Buildkit) -> None:
        seconds = self._retried(side)
        case.peer.append(seconds)
        print(f"  {case.name}: {side.name} {seconds:.2f} s", flush=True)

    def _retried(self, side: Docker | Buildkit) -> float:
        """An engine that died says nothing about speed: such a run is repeated, and counted in `crashes`."""
        for _ in range(_TRIES - 1):
            self.beside.empty()
            try:
                return side.build()
            except Failed as failure:
                if self.beside.alive():
                    raise
                self.crashes += 1
                print(f"  {side.name}: the engine crashed, again ({failure}\n{self.beside.last_words()})")
        self.beside.empty()
        return side.build()


Engine = Literal["docker", "buildkit", "runc"]


@contextmanager
def open_bench(scratch: Path, name: Engine = "docker") -> Iterator[Bench]:
    with docker_registry(scratch / "registry") as registry:
        place = scratch / "engine"
        engine = PrivateEngine(place) if name == "docker" else PrivateBuildkit(place, registry)
        base = f"{registry}/debian:trixie-slim"
        debian.push(base)
        try:
            own = PrivateRunc(scratch / "runc") if name == "runc" else engine
            yield Bench(scratch, registry, AccessLog(scratch / "registry"), own, engine, base)
        finally:
            engine.stop()
