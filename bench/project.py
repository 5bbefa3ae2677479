"""The repository that both sides build: an apt-get layer, then 300 source files of 4 KB."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.cases import NOTHING, Case, Shape, at_least
from bench.debian import PACKAGES
from tests.servers import Repository

SOURCES, SIZE = 300, 4096
# The dependencies come first and alone, as everybody writes it: a changed source file leaves their layer as it is.
_DOCKERFILE = """\
FROM {base}
WORKDIR /app
COPY packages.txt ./
RUN apt-get update \\
 && xargs apt-get install --yes --no-install-recommends < packages.txt \\
 && rm -rf /var/lib/apt/lists/*
COPY src ./src
CMD ["python3", "src/file000.py"]
"""


def create(path: Path, base: str) -> Repository:
    repository = Repository.create(path)
    files: dict[str, str | bytes | None] = {
        f"src/file{number:03}.py": _source(f"file {number}") for number in range(SOURCES)
    }
    repository.write(
        files
        | {
            "Dockerfile": _DOCKERFILE.format(base=base),
            ".dockerignore": ".git\n",
            "lineal.yaml": "project: bench\nimages:\n  app: {}\n",
            "packages.txt": _packages(0),
        },
        "First commit",
    )
    return repository


def change_source(repository: Repository, number: int) -> None:
    repository.write({"src/file007.py": _source(f"change {number}")}, "Change one source file")


def change_dependencies(repository: Repository, number: int) -> None:
    """Another packages.txt for each number from 1 on; it names the same packages, so that the work is the same."""
    repository.write({"packages.txt": _packages(number)}, "Change the dependencies")


def _packages(blank_lines: int) -> str:
    return "\n".join(PACKAGES) + "\n" * (1 + blank_lines)


def _source(seed: str) -> str:
    """Text that compresses about as source code does: half random, half not."""
    lines = (f"value_{n} = '{hashlib.sha256(f'{seed} {n}'.encode()).hexdigest()}'\n" for n in range(100))
    return "".join(lines)[: SIZE - 1] + "\n"


APP = Shape(
    "app",
    "One image: an apt-get layer, then 300 source files",
    create,
    [
        Case(
            "first build of all",
            at_least(1.25, 1.0, 1.0),
            runs=1,
            why="on loopback there is no link behind which the handing over of an image to a daemon hides",
        ),
        NOTHING,
        Case("one source file changed", at_least(8, 6, 8), change_source, with_engine=False, most_parent_layers=0),
        Case("a dependency layer changed", at_least(1.25, 1.0, 1.0), change_dependencies, runs=1),
    ],
)
