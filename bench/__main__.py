"""`python -m bench`: Lineal beside docker build and BuildKit; the result is printed and kept in bench/RESULTS.md."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import large, limits, results
from bench.action import action
from bench.breakdown import Part, breakdown
from bench.caches import WORKLOADS, caches
from bench.cases import Case, Engine, buildkit_cases, cases, open_bench, runc_cases
from bench.history import history
from bench.machine import describe, load
from bench.process import Failed
from bench.release import deploys

_NOTES = (
    "The image: a debootstrapped Debian trixie, `apt-get install python3 python3-flask`, 300 source files of 4 KB. "
    "The packages come from a repository inside the base image, so that the network has no part in the times of "
    "either side. Docker's side is `DOCKER_BUILDKIT=1 docker build --cache-from IMAGE:latest --build-arg "
    "BUILDKIT_INLINE_CACHE=1 -t IMAGE:latest .` and `docker push`. The engine is the bench's own, started empty for "
    "each measurement (starting it is not measured), with host networking for both sides. BuildKit's side is "
    "`buildctl build` with `--import-cache type=registry,ref=IMAGE-cache --export-cache "
    "type=registry,ref=IMAGE-cache,mode=max --output type=image,name=IMAGE:latest,push=true`.",
)


_LARGE: dict[Engine, tuple[float, float, float]] = {
    "docker": (1.0, 1.0, 1.1), "buildkit": (1.0, 1.0, 1.1), "runc": (1.2, 1.2, 1.1)
}  # fmt: skip
"""What is asked of the large RUNs."""
_RACES: dict[Engine, Callable[[], list[Case]]] = {"docker": cases, "buildkit": buildkit_cases, "runc": runc_cases}
_CACHES = {f"caches-{workload.name.lower()}": workload for workload in WORKLOADS}
_FEW_COMMITS = 200_000
"""`python -m bench history` takes a million."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--repetitions",
        type=int,
        default=4,
        metavar="N",
        help="an even number: the sides take turns in going first (default 4)",
    )
    parser.add_argument(
        "only",
        nargs="?",
        choices=[
            "action",
            "history",
            "deploy",
            "images",
            *_CACHES,
            *_RACES,
            *(f"large-{engine}" for engine in _LARGE),
        ],
        help="measure only this, and keep no results",
    )
    parser.add_argument("--profile", action="store_true", help="show where the time of a cached build goes, instead")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = Path(tempfile.mkdtemp(prefix="lineal-bench-"))
    try:
        if given.profile:
            _profile(scratch, given.repetitions)
            return 0
        if given.only in _CACHES:
            for line in caches(scratch, _CACHES[given.only]):
                print(line, flush=True)
            return 0
        if given.only in _RACES:
            return _show_races(scratch, given.only, given.repetitions)
        if engine := _large(given.only):
            return _show_large(scratch, engine, given.repetitions)
        if given.only:
            only = {
                "action": lambda: action(scratch, given.repetitions),
                "history": lambda: history(scratch),
                "deploy": lambda: deploys(scratch, given.repetitions),
                "images": lambda: limits.many_images(scratch),
            }
            return _show_limits(only[given.only]())
        return _measure(scratch, given.repetitions)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _measure(scratch: Path, repetitions: int) -> int:
    """Everything; 1 when a target is missed."""
    loads = [load()]
    rows, on_buildkit, on_runc = cases(), buildkit_cases(), runc_cases()
    version, crashes = _rounds(scratch, "docker", repetitions, rows, loads)
    buildkit, _ = _rounds(scratch, "buildkit", repetitions, on_buildkit, loads)
    _rounds(scratch, "runc", repetitions, on_runc, loads)
    print("memory, many files, many images", flush=True)
    measured = [limits.memory(scratch), limits.many_files(scratch, repetitions), *limits.many_images(scratch)]
    print("action", flush=True)
    measured += action(scratch, repetitions)
    print("deploy", flush=True)
    measured += deploys(scratch, repetitions)
    print("history", flush=True)
    measured += history(scratch, _FEW_COMMITS)
    notes = [*_NOTES, f"Load average before the rounds and after each: {', '.join(f'{one:.1f}' for one in loads)}."]
    notes.append(f"Repetitions: {repetitions}. Engine, registry and checkouts were below {scratch.parent}.")
    if crashes:
        notes.append(f"Docker Engine crashed {crashes} times during `docker build`; these runs were repeated.")
    page = results.page(rows, on_buildkit, on_runc, measured, describe(version, buildkit), notes)
    results.FILE.write_text(page)
    print("\n" + page)
    missed = results.missed([*rows, *on_buildkit, *on_runc], measured)
    if missed:
        print(f"Missed: {', '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


def _rounds(scratch: Path, engine: Engine, repetitions: int, rows: list[Case], loads: list[float]) -> tuple[str, int]:
    """Fills the rows; gives the version of the peer's engine and how often it crashed."""
    with open_bench(scratch / engine, engine) as bench:
        for number in range(repetitions):
            print(f"round {number + 1} of {repetitions}", flush=True)
            bench.round(number, rows)
            loads.append(load())
        return bench.beside.version(), bench.crashes


def _show_races(scratch: Path, engine: Engine, repetitions: int) -> int:
    rows = _RACES[engine]()
    _rounds(scratch, engine, repetitions, rows, [])
    print("\n" + "\n".join(results.races(_peer(engine), rows)))
    return 1 if results.missed(rows, []) else 0


def _large(only: str | None) -> Engine | None:
    return next((engine for engine in _LARGE if only == f"large-{engine}"), None)


def _show_large(scratch: Path, engine: Engine, repetitions: int) -> int:
    rows = large.cases(*_LARGE[engine])
    with open_bench(scratch / engine, engine) as bench:
        large.push(large.parent_of(bench.base))
        for number in range(repetitions):
            bench.round(number, rows, large.create)
    print("\n" + "\n".join(results.races(_peer(engine), rows)))
    return 1 if results.missed(rows, []) else 0


def _peer(engine: Engine) -> str:
    return "docker" if engine == "docker" else "BuildKit"


def _show_limits(measured: list[limits.Limit]) -> int:
    for limit in measured:
        print(f"{limit.value:6.2f}  {limit.name} (at most {limit.at_most}): {limit.remark}")
    return 1 if results.missed([], measured) else 0


def _profile(scratch: Path, repetitions: int) -> None:
    parts, packages = breakdown(scratch, max(repetitions, 9))
    _show("A build that finds everything published, medians", parts)
    _show("Imports by package, with -X importtime (which slows them down)", packages)


def _show(title: str, parts: list[Part]) -> None:
    print(f"\n{title}:")
    for part in parts:
        print(f"{part.milliseconds:9.1f} ms  {part.name}")


sys.exit(main())
