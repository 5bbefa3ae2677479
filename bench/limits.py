"""Limits that are no race: memory for a large context, time for a repository of many files, and for one of many
images."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.memory import Memory
from bench.process import Failed, environment, run
from bench.sides import NOWHERE, lineal
from tests import monorepo
from tests.servers import Repository, docker_registry

CONTEXT_FILES, CONTEXT_FILE_SIZE = 128, 8 << 20
MANY_FILES, FILES_IN_DIRECTORY = 100_000, 100
SERVICES = 1_299
"""And their base: 1,300 images of two stages each."""
_DOCKERFILE = b"FROM scratch\nCOPY files /files\n"
_CONFIG = b"project: bench\nimages:\n  app: {}\n"


@dataclass(frozen=True, slots=True)
class Limit:
    """One measured value beside what it may be at most."""

    name: str
    value: float
    at_most: float
    unit: str
    remark: str


def memory(scratch: Path) -> Limit:
    """Build one COPY of 1 GB that does not compress, into a registry."""
    noise = random.Random(1)
    files = ((f"files/part{number:03}", noise.randbytes(CONTEXT_FILE_SIZE)) for number in range(CONTEXT_FILES))
    with _published(scratch / "memory", files) as (checkout, store, env):
        seen = Memory()
        done = run([lineal(), "build", "--repo", store], checkout, env, seen.watch)
    size = CONTEXT_FILES * CONTEXT_FILE_SIZE >> 20
    remark = f"{size} MB in {CONTEXT_FILES} files, {done.seconds:.1f} s; Lineal alone {seen.alone / 1e6:.0f} MB"
    return Limit("memory: Lineal and its git at one moment", seen.together / 1e6, 150, "MB", remark)


def many_files(scratch: Path, repetitions: int) -> Limit:
    """`lineal plan` of a repository of 100,000 files with everything cached, less `lineal --version`."""
    files = (
        (f"files/{number // FILES_IN_DIRECTORY:04}/file{number}", b"file %d\n" % number)
        for number in range(MANY_FILES)
    )
    with _published(scratch / "many", files) as (checkout, store, env):
        run([lineal(), "build", "--repo", store], checkout, env)
        plan = [lineal(), "plan", "--exit-code", "--repo", store]
        planned = [run(plan, checkout, env).seconds for _ in range(repetitions)]
        empty = [run([lineal(), "--version"], checkout, env).seconds for _ in range(repetitions)]
    remark = f"`lineal plan` {median(planned):.2f} s, `lineal --version` {median(empty):.2f} s"
    return Limit("plan of 100,000 files, less an empty command", median(planned) - median(empty), 1.5, "s", remark)


def many_images(scratch: Path) -> list[Limit]:
    """1,300 images, built and then planned with everything there, and once more with another base."""
    images = SERVICES + 1
    repository = monorepo.create(scratch / "images" / "checkout", SERVICES)
    limits = []
    with docker_registry(scratch / "images" / "registry") as registry, tempfile.TemporaryDirectory() as home:
        env, store = {**environment(Path(home)), "DOCKER_HOST": NOWHERE}, f"{registry}/bench/images"
        report = Path(home, "report.json")

        def lineal_takes(command: str) -> tuple[float, Memory, dict[str, Any]]:
            """Seconds of processor, memory, the report."""
            before, seen = _processor(), Memory()
            argv = [lineal(), command, "--repo", store, "--report", str(report)]
            run(argv, repository.path, env, seen.watch)
            return _processor() - before, seen, json.loads(report.read_text())

        seconds, _, found = lineal_takes("build")
        each = found["requests"] / len(found["stages"])
        limits.append(Limit("build of 1,300 images, a stage", each, 10, "requests", f"{seconds:.0f} s of processor"))
        seconds, seen, found = lineal_takes("plan")
        each = found["requests"] / images
        limits.append(Limit("plan of 1,300 images, all there", seconds, 6, "s of processor", ""))
        limits.append(Limit("plan of 1,300 images: memory", seen.together / 1e6, 300, "MB", ""))
        limits.append(Limit("plan of 1,300 images, an image", each, 2.01, "requests", ""))
        repository.write({"base/shared/version": "2\n"}, "Change the base")
        seconds, _, _ = lineal_takes("plan")
        limits.append(Limit("plan of 1,300 images whose base changed", seconds, 20, "s of processor", ""))
    return limits


def _processor() -> float:
    """Seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _published(directory: Path, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """A checkout of these files below a Dockerfile, a store on a registry, an environment without an engine."""
    repository = Repository.create(directory / "checkout")
    _import(repository, [("Dockerfile", _DOCKERFILE), ("lineal.yaml", _CONFIG)], files)
    with docker_registry(directory / "registry") as registry, tempfile.TemporaryDirectory() as home:
        yield repository.path, f"{registry}/bench/app", {**environment(Path(home)), "DOCKER_HOST": NOWHERE}


def _import(repository: Repository, *groups: Iterable[tuple[str, bytes]]) -> None:
    """Commit the files as one pack, as a clone has them, and check them out."""
    importer = subprocess.Popen(
        ["git", "-c", "core.compression=0", "fast-import", "--quiet"],
        cwd=repository.path, env=repository.environment(), stdin=subprocess.PIPE,
    )  # fmt: skip
    assert importer.stdin is not None
    with importer.stdin as out:
        out.write(b"commit refs/heads/main\ncommitter Ada <ada@example.com> 1700000000 +0000\ndata 5\nFirst\n")
        for path, data in (entry for group in groups for entry in group):
            out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    if importer.wait():
        raise Failed("git fast-import failed: see its message above.")
    repository.git("reset", "--quiet", "--hard", "main")
