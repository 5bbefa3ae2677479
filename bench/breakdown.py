"""Where the time of a `lineal build` goes that finds everything published."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.link import Link
from bench.process import environment, run
from bench.project import APP
from bench.race import open_race
from bench.runc import PrivateRunc
from bench.sides import NOWHERE, Lineal, lineal

_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", re.MULTILINE)
_SHOWN_PACKAGES = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A line of the breakdown, in milliseconds."""

    name: str
    milliseconds: float


def breakdown(scratch: Path, repetitions: int, link: Link | None) -> tuple[list[Part], list[Part]]:
    """The parts of a fully cached run, as medians, and the packages whose import takes longest."""
    with open_race(scratch, APP, [], link) as race:
        checkout = APP.create(scratch / "checkout", race.base)
        side = Lineal(checkout.path, f"{race.registry}/breakdown/lineal", PrivateRunc(scratch / "runc"))
        side.build()
        side.engine.stop()
        with tempfile.TemporaryDirectory(dir=scratch) as home:
            env = {**environment(Path(home)), "DOCKER_HOST": NOWHERE}
            build = ["build", "--repo", side.repository]

            def timed(argv: Sequence[str]) -> float:
                return median(run(argv, checkout.path, env).seconds for _ in range(repetitions)) * 1000

            traced = [sys.executable, str(Path(__file__).with_name("traced.py")), *build]
            spans = [json.loads(run(traced, checkout.path, env).stderr.splitlines()[-1]) for _ in range(repetitions)]
            imports = run([sys.executable, "-X", "importtime", lineal(), *build], checkout.path, env).stderr
            parts = [
                Part("whole run", timed([lineal(), *build])),
                Part("  Python starts and ends", timed([sys.executable, "-c", "pass"])),
                *(Part(f"  {name}", median(span[name] for span in spans)) for name in spans[0]),
                Part("an empty command (lineal --version)", timed([lineal(), "--version"])),
            ]
            return parts, _packages(imports)


def _packages(importtime: str) -> list[Part]:
    """`-X importtime` summed by package; slower than without it."""
    totals: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(importtime):
        totals[module.partition(".")[0]] += int(microseconds)
    return [Part(name, total / 1000) for name, total in totals.most_common(_SHOWN_PACKAGES)]
