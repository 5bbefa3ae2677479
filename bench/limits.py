"""Two limits that are no race: memory for a large context, time for a repository of many files."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.memory import Memory
from bench.process import Failed, environment, run
from bench.sides import NOWHERE, lineal
from tests.servers import Repository, docker_registry

CONTEXT_FILES, CONTEXT_FILE_SIZE = 128, 8 << 20
MANY_FILES, FILES_IN_DIRECTORY = 100_000, 100
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
