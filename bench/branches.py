"""A Dockerfile of twelve targets: three branches that can be built side by side, ten seconds of RUN in a row."""

from __future__ import annotations

from pathlib import Path

from bench.cases import NOTHING, Case, Shape, at_least
from tests.servers import Repository

_NAMES = ("api", "web", "worker")
_BRANCH = """
FROM common AS {name}-dependencies
COPY {name}/packages.txt ./
RUN sleep 3 && mkdir packages && for n in $(seq 8); do head -c 1000000 /dev/urandom >packages/$n; done

FROM {name}-dependencies AS {name}-build
COPY {name}/src ./src
RUN sleep 3 && mkdir out && for n in $(seq 20); do head -c 20000 /dev/urandom >out/$n; done

FROM {base} AS {name}-packed
WORKDIR /work
COPY --from={name}-build /work/out ./out
RUN sleep 3 && tar -cf packed.tar out
"""
_LAST = """
FROM common AS collected
{copies}
RUN sleep 1 && cat *.tar >all

FROM {base}
COPY --from=collected /work/all /app/all
CMD ["cat", "/app/all"]
"""
_FIRST = (
    "ten seconds of commands follow one another, and over the link 2.5 s for the base come before them. Of the "
    "requests: each of the 26 stages is published by itself, which is two manifests, two tags, a list, and two "
    "requests for each blob (docker-registry and distribution take none by a single POST), and BuildKit publishes "
    "the image and one list of its cache"
)
_LATER = "{} seconds of commands follow one another, and over the link {} s for their parent come before them"


def create(path: Path, base: str) -> Repository:
    repository = Repository.create(path)
    copies = "\n".join(f"COPY --from={name}-packed /work/packed.tar ./{name}.tar" for name in _NAMES)
    branches = "".join(_BRANCH.format(name=name, base=base) for name in _NAMES)
    common = f"FROM {base} AS common\nWORKDIR /work\nCOPY common.txt ./\n"
    files: dict[str, str | bytes | None] = {
        "Dockerfile": common + branches + _LAST.format(copies=copies, base=base),
        ".dockerignore": ".git\n",
        "lineal.yaml": "project: bench\nimages:\n  app: {}\n",
        "common.txt": "common\n",
    }
    for name in _NAMES:
        files |= {f"{name}/packages.txt": "packages\n"} | {f"{name}/src/{n}.py": f"{name} {n}\n" for n in range(20)}
    repository.write(files, "First commit")
    return repository


def _change_source(repository: Repository, number: int) -> None:
    repository.write({"api/src/7.py": f"change {number}\n"}, "Change one source file of a branch")


def _change_dependencies(repository: Repository, number: int) -> None:
    repository.write({"api/packages.txt": f"change {number}\n"}, "Change the dependencies of a branch")


BRANCHES = Shape(
    "branches",
    "Twelve targets in three branches, a RUN of some seconds in ten of them",
    create,
    [
        Case(
            "first build of all",
            at_least(1.25, 1.0, 1.0),
            runs=10,
            why=_FIRST,
        ),
        NOTHING,
        Case(
            "source changed, and RUNs follow",
            at_least(1.3, 1.0, 1.0),
            _change_source,
            runs=3,
            why=_LATER.format("seven", 2.8),
        ),
        Case(
            "dependencies of a branch changed",
            at_least(1.25, 1.0, 1.0),
            _change_dependencies,
            runs=4,
            why=_LATER.format("ten", 2.5),
        ),
    ],
)
