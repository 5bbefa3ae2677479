"""A project with caches that are kept, whose every run is on another machine's engine."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.differential.buildkit import PROGRAMS, missing
from tests.e2e.parts import Project, Ran, docker

PERSIST = "project: shop\ncaches: {persist: true}\nimages: {app: {}}\n"
KEEPS = "RUN --mount=type=cache,target=/c cat /c/seen >/seen 2>/dev/null; cat number >>/c/seen"
"""Its layer tells what the cache held before; each run adds its own number."""
KEY = {"LINEAL_TRUST_KEY": "7d5c1f0e9b8a46372514031f2e3d4c5b6a79887766554433221100ffeeddccbb"}
TRUST = PERSIST + "trust: {key: required}\n"


@dataclass
class Runners:
    """A project whose every run is on another machine's engine."""

    project: Project
    environments: Any
    ran: list[Ran] = field(default_factory=list)

    def commit(self, number: str, dockerfile: str = KEEPS, config: str = PERSIST, **files: str) -> str:
        lines = f"FROM {self.base}\nCOPY number .\n{dockerfile}\n"
        return self.project.write(lines, {"lineal.yaml": config, "number": number, **files}, message=number)

    def build(self, *args: str, code: int = 0, env: dict[str, str] | None = None) -> Ran:
        return self.project.build(*args, code=code, env=next(self.environments) | (env or {}))

    base: str = ""

    def seen(self, ran: Ran) -> str:
        return self.project.contents.files(str(ran.digests["app"]))["seen"].decode()


ENGINES = ("runc", "docker", "buildkitd")

rarely_elsewhere = pytest.mark.parametrize(
    "runners", ["runc", *(pytest.param(kind, marks=pytest.mark.long) for kind in ENGINES[1:])], indirect=True
)
"""For what other engines than runc have no part in: `make test-long` tries these."""


@pytest.fixture(params=ENGINES)
def runners(request: pytest.FixtureRequest, project: Project, base_image: str, tmp_path: Path) -> Iterator[Runners]:
    with on_machines_with(request.param, project, base_image, tmp_path) as made:
        yield made


@pytest.fixture
def runner(project: Project, base_image: str, tmp_path: Path) -> Iterator[Runners]:
    """One engine is enough for what the store has to do with it."""
    with on_machines_with("runc", project, base_image, tmp_path) as made:
        yield made


@contextmanager
def on_machines_with(kind: str, project: Project, base: str, folder: Path) -> Iterator[Runners]:
    if kind == "docker":
        yield Runners(project, without_caches(project.lineal.env), base=base)
        assert not volumes("dev.lineal.run", project.lineal.env), "a volume of a run was left in the engine"
        return
    if os.geteuid() or shutil.which("runc") is None:
        pytest.skip("needs root and runc")
    if kind == "buildkitd":
        if missing():
            pytest.skip(missing())
        own = {"LINEAL_ENGINE": "buildkitd", "LINEAL_ENGINE_NETWORK": "host"}
        path = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
        yield Runners(project, itertools.repeat(own | path), base=base)
        return
    engines = (
        {"LINEAL_ENGINE": "runc", "LINEAL_RUNC_ROOT": str(folder / f"runner-{number}")}
        for number in itertools.count()
    )
    yield Runners(project, engines, base=base)


def without_caches(env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The engine is one, and forgets its caches before each run."""
    while True:
        if left := volumes("dev.lineal.cache", env):
            docker("volume", "rm", *left, env=env)
        yield {}


def volumes(label: str, env: Mapping[str, str]) -> list[str]:
    return docker("volume", "ls", "--quiet", "--filter", f"label={label}", env=env).stdout.split()


def caches(ran: Ran) -> list[dict[str, Any]]:
    return [cache for stage in ran.stages for cache in stage["caches"]]


def snapshots(project: Project) -> list[str]:
    return sorted(tag for tag in project.contents.tags() if tag.startswith("cache-"))


def folder_of(runner: Runners) -> Path:
    return Path(runner.project.store.removeprefix("layout:"))


def packs(runner: Runners, tag: str) -> list[str]:
    """Those of a snapshot, after its index."""
    contents = runner.project.contents
    return [str(one["digest"]) for one in contents.image(contents.tags()[tag])["layers"][1:]]
