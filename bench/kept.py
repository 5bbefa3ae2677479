"""What was measured, as JSON beside RESULTS.md: pieces are measured one by one, each takes the place of its last."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.limits import Limit
from bench.machine import load
from bench.race import Measured, Table

FILE = Path(__file__).with_name("results.json")


class Kept:
    """`races`: by shape, link and side, when and of which commit, and by case what was measured. `limits`: by piece.
    `machine`: lines for people."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        self._races: dict[str, dict[str, Any]] = found.get("races", {})
        self._limits: dict[str, Any] = found.get("limits", {})
        self.machine: list[str] = found.get("machine", [])

    def race(self, shape: str, link: str, table: Table) -> None:
        sides = self._races.setdefault(f"{shape} {link}", {})
        for side, cases in table.items():
            sides[side] = _stamp() | {"cases": {name: asdict(one) for name, one in cases.items()}}

    def limit(self, piece: str, measured: Sequence[Limit]) -> None:
        self._limits[piece] = _stamp() | {"limits": [asdict(one) for one in measured]}

    def table(self, shape: str, link: str) -> Table:
        sides = self._races.get(f"{shape} {link}", {})
        return {side: {name: Measured(**one) for name, one in kept["cases"].items()} for side, kept in sides.items()}

    def limits(self) -> list[tuple[Limit, str]]:
        """With the date of each."""
        pieces = (self._limits[piece] for piece in sorted(self._limits))
        return [(Limit(**one), piece["date"]) for piece in pieces for one in piece["limits"]]

    def when(self, shape: str, link: str) -> str:
        """`2026-11-29 at 0123456789 ; load after it 0.3 to 1.2` for people; empty where nothing was measured."""
        stamps = list(self._races.get(f"{shape} {link}", {}).values())
        if not stamps:
            return ""
        dates, commits, loads = (sorted({one[key] for one in stamps}) for key in ("date", "commit", "load"))
        return f"{' and '.join(dates)} at {' and '.join(commits)}; load after it {loads[0]} to {loads[-1]}"

    def save(self) -> None:
        found = {"machine": self.machine, "races": self._races, "limits": self._limits}
        self._file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def _stamp() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit, "load": round(load(), 1)}
