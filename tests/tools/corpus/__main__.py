"""`make corpus DIR=…`: Lineal plans the Dockerfiles of other projects, and says which it refuses, and why.

DIR holds git checkouts, or is one; nothing is written there and no network is used. Ends with 1 after a crash."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import lineal.commands.plan  # noqa: F401 (once, before the processes)
from lineal.errors import LinealError
from lineal.init.build import Build
from lineal.init.hints import ways
from tests.tools.corpus.checkout import Checkout, below
from tests.tools.corpus.planner import Attempt, Outcome, plan
from tests.tools.corpus.processes import NoAnswer, in_processes
from tests.tools.corpus.table import Row, details, lines
from tests.tools.errors import catalogue

Work = tuple[Checkout, str, list[Build]]


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    work = [(one, path, builds) for one in below(asked.folder.resolve()) for path, builds in _ways(one).items()]
    if not work:
        sys.stderr.write(f"There is no Dockerfile in a git checkout below {asked.folder}.\n")
        return 3
    rows = []
    for (checkout, path, builds), answer in in_processes(_plan, work, asked.jobs, asked.timeout):
        rows.append(Row(checkout.name, path, _outcome(answer, builds)))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(rows)}/{len(work)} ")
    rows.sort(key=lambda row: (row.checkout, row.dockerfile))
    print("\n".join(lines(rows, catalogue()["causes"])))
    if asked.json:
        asked.json.write_text(json.dumps(details(rows), indent=1))
    return 1 if any(row.outcome.worst.verdict == "crashed" for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make corpus", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with the checkouts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every attempt with its message and notes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one Dockerfile")
    return parser


def _ways(checkout: Checkout) -> dict[str, list[Build]]:
    """A checkout that git cannot use is named and left out."""
    try:
        found = ways(checkout)
        checkout.close()
        return found
    except LinealError as error:
        sys.stderr.write(f"{checkout.name} is left out: {error.words}\n")
        return {}


def _plan(work: Work) -> Outcome:
    checkout, _, builds = work
    return plan(checkout.path, builds)


def _outcome(answer: Outcome | NoAnswer, builds: Sequence[Build]) -> Outcome:
    """What became of a Dockerfile whose process gave no answer is a crash, too."""
    if isinstance(answer, Outcome):
        return answer
    return Outcome((Attempt(builds[0], "crashed", "", answer.reason),))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
