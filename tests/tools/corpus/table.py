"""The outcomes for people: a line for each Dockerfile, the kinds of refusals, and counts at the end; and as JSON."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lineal.text import printable
from tests.tools.corpus.planner import Attempt, Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """One Dockerfile of one checkout."""

    checkout: str
    dockerfile: str
    outcome: Outcome


def lines(rows: Sequence[Row], causes: Mapping[str, str]) -> Iterator[str]:
    """`causes` has the sentence of each id, see docs/errors.toml."""
    width = max((len(row.checkout) for row in rows), default=0)
    for row in rows:
        worst = row.outcome.worst
        yield f"{worst.verdict:8}  {row.checkout:{width}}  {row.dockerfile} ({worst.build}){_why(worst, causes)}"
    yield ""
    yield from counts(rows, causes)


def counts(rows: Sequence[Row], causes: Mapping[str, str]) -> Iterator[str]:
    found = Counter(row.outcome.worst.verdict for row in rows)
    ways = sum(len(row.outcome.attempts) for row in rows)
    yield f"{len({row.checkout for row in rows})} checkouts, {len(rows)} Dockerfiles, {ways} plans"
    for verdict in ("accepted", "refused", "crashed"):
        yield f"{found[verdict]:6}  {verdict}"
        if verdict == "refused":
            yield from _kinds(rows, causes)
    most = (
        max((row.outcome.seconds for row in rows), default=0.0),
        max((row.outcome.memory for row in rows), default=0),
    )
    yield f"at most {most[0]:.1f} s of a processor and {most[1]} MiB of memory for one Dockerfile"


def _kinds(rows: Sequence[Row], causes: Mapping[str, str]) -> Iterator[str]:
    """How many Dockerfiles of how many checkouts each kind has, the most frequent first."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if (worst := row.outcome.worst).verdict == "refused":
            kinds[worst.id].append(row.checkout)
    for id, where in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
        yield f"{len(where):14}  {id} {word(id, causes)}, in {len(set(where))} checkouts"


def word(id: str, causes: Mapping[str, str]) -> str:
    """The cause of an id in a few words."""
    return re.split(r"[:,.] |\.$", causes.get(id, "unknown"))[0].removeprefix("A ").removeprefix("An ")


def _why(attempt: Attempt, causes: Mapping[str, str]) -> str:
    if attempt.verdict == "accepted":
        return ""
    kind = f"{attempt.id} {word(attempt.id, causes)}: " if attempt.id else ""
    return f"\n          {kind}{printable(attempt.message, 400)}"


def details(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{**asdict(row), "verdict": row.outcome.worst.verdict} for row in rows]
