"""Twenty images on one base image, all in one Dockerfile: the form in which BuildKit is fastest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.cases import NOTHING, Case, Shape, at_least
from bench.debian import PACKAGES
from tests.servers import Repository

_NAMES = tuple(f"service{number:02}" for number in range(1, 21))
_BASE = """\
FROM {base} AS base
WORKDIR /app
COPY packages.txt ./
RUN apt-get update \\
 && xargs apt-get install --yes --no-install-recommends < packages.txt \\
 && rm -rf /var/lib/apt/lists/*
"""
_SERVICE = """
FROM base AS {name}
COPY {name}/settings ./
RUN sort settings >sorted
COPY {name}/src ./src
CMD ["python3", "src/0.py"]
"""


def create(path: Path, base: str) -> Repository:
    repository = Repository.create(path)
    images = "".join(f"  {name}: {{target: {name}}}\n" for name in _NAMES)
    files: dict[str, str | bytes | None] = {
        "Dockerfile": _BASE.format(base=base) + "".join(_SERVICE.format(name=name) for name in _NAMES),
        ".dockerignore": ".git\n",
        "lineal.yaml": f"project: bench\nimages:\n{images}",
        "packages.txt": "\n".join(PACKAGES) + "\n",
    }
    for name in _NAMES:
        files |= {f"{name}/settings": f"{name}\n"} | {f"{name}/src/{n}.py": f"# {name} {n}\n" * 50 for n in range(10)}
    repository.write(files, "First commit")
    return repository


def _change_one(repository: Repository, number: int) -> None:
    repository.write({"service07/src/3.py": f"# change {number}\n"}, "Change one source file of a service")


SERVICES = Shape(
    "services",
    "Twenty images on one base image of the repository",
    create,
    [
        Case("first build of all", at_least(1.25, 1.0, 1.0), runs=21),
        replace(NOTHING, most_requests=42),
        Case(
            "one image changed",
            at_least(20, 20, 20),
            _change_one,
            with_engine=False,
            most_parent_layers=0,
            why="eleven round trips follow one another: the anchors, what is below the one that misses, its "
            "manifests, its files, the upload, the image, claim, list, anchor, and two more for the stage above",
        ),
    ],
    targets=_NAMES,
)
