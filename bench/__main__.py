"""`python -m bench`: Lineal beside BuildKit and docker build; what is measured goes into bench/RESULTS.md."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import results
from bench.breakdown import Part, breakdown
from bench.caches import caches
from bench.cases import Shape
from bench.kept import Kept
from bench.machine import describe
from bench.pieces import ALL, CACHES, LIMITS, LINKS, SHAPES, shape_of
from bench.process import Failed
from bench.race import SIDES, open_race


def main() -> int:
    given = _arguments().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = Path(tempfile.mkdtemp(prefix="lineal-bench-"))
    try:
        if given.profile:
            _profile(scratch, given.repetitions, given.link or "loopback")
            return 0
        missed = []
        for piece in given.pieces or ALL:
            print(piece, flush=True)
            missed += _measure(scratch / piece, piece, given)
        if missed:
            print(f"Missed: {', '.join(missed)}.", file=sys.stderr)
        return 1 if missed else 0
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = [*(shape.name for shape in SHAPES), *LIMITS, *CACHES]
    parser.add_argument("pieces", nargs="*", metavar="PIECE", help=f"only these of {', '.join(known)}")
    parser.add_argument("--link", choices=LINKS, help="only this link to the registry (20 ms, 200 Mbit/s; or none)")
    parser.add_argument(
        "--sides", type=_sides, default=SIDES, metavar="A,B", help=f"only these of {','.join(SIDES)}, the first first"
    )
    parser.add_argument("--repetitions", type=int, default=2, metavar="N", help="of each case (default 2)")
    parser.add_argument("--show", action="store_true", help="show the result and keep nothing")
    parser.add_argument("--profile", action="store_true", help="show where the time of a cached build goes, instead")
    return parser


def _sides(text: str) -> Sequence[str]:
    sides = text.split(",")
    if unknown := [side for side in sides if side not in SIDES]:
        raise argparse.ArgumentTypeError(f"no side is called {', '.join(unknown)}; there are {', '.join(SIDES)}")
    return sides


def _measure(scratch: Path, piece: str, given: argparse.Namespace) -> list[str]:
    """The names of what it missed."""
    if shape := shape_of(piece):
        links = [given.link] if given.link else list(LINKS)
        return [one for link in links for one in _race(scratch / link, shape, link, given)]
    if piece in CACHES:
        for line in caches(scratch, CACHES[piece]):
            print(line, flush=True)
        return []
    if piece not in LIMITS:
        raise Failed(f"There is no piece {piece!r}: see `python -m bench --help`.")
    measured = LIMITS[piece](scratch, given.repetitions)
    for limit in measured:
        print(f"{limit.value:6.2f}  {limit.name} (at most {limit.at_most}): {limit.remark}")
    if not given.show:
        kept = Kept()
        kept.limit(piece, measured)
        _write(kept)
    return results.missed([], measured)


def _race(scratch: Path, shape: Shape, link: str, given: argparse.Namespace) -> list[str]:
    kept = Kept()
    scratch.mkdir(parents=True)
    with open_race(scratch, shape, given.sides, LINKS[link]) as race:
        for number in range(given.repetitions):
            print(f"{shape.name}, {link}, round {number + 1} of {given.repetitions}", flush=True)
            race.round(number)
    if race.crashes:
        print(f"  Docker Engine crashed {race.crashes} times; these runs were repeated.")
    if not given.show:
        kept.race(shape.name, link, race.table)
        _write(kept)
    found = results.rows(shape, race.table)
    print("\n" + "\n".join(results.races(found)) + "\n", flush=True)
    return results.missed(found, [])


def _write(kept: Kept) -> None:
    kept.machine = describe()
    kept.save()
    results.FILE.write_text(results.page(kept))


def _profile(scratch: Path, repetitions: int, link: str) -> None:
    parts, packages = breakdown(scratch, max(repetitions, 9), LINKS[link])
    _show("A build that finds everything published, medians", parts)
    _show("Imports by package, with -X importtime (which slows them down)", packages)


def _show(title: str, parts: list[Part]) -> None:
    print(f"\n{title}:")
    for part in parts:
        print(f"{part.milliseconds:9.1f} ms  {part.name}")


sys.exit(main())
