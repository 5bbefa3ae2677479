"""What was measured as a Markdown page; the same text is for the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from bench.cases import Case
from bench.limits import Limit

FILE = Path(__file__).with_name("RESULTS.md")


def page(
    rows: Sequence[Case], on_buildkit: Sequence[Case], on_runc: Sequence[Case], limits: Sequence[Limit],
    machine: Iterable[str], notes: Iterable[str],
) -> str:  # fmt: skip
    """The whole page."""
    return "\n".join(
        [
            "# Lineal beside docker build and BuildKit",
            "",
            f"Measured {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC by `make bench` on:",
            "",
            *(f"- {line}" for line in machine),
            "",
            *races("docker", rows),
            "",
            "With BuildKit as its engine, beside BuildKit with its cache in the registry:",
            "",
            *races("BuildKit", on_buildkit),
            "",
            "Without a daemon (`--engine runc`), beside BuildKit with its cache in the registry:",
            "",
            *races("BuildKit", on_runc),
            "",
            *table(("limit", "measured", "at most", "", "remark"), [_limit(limit) for limit in limits]),
            "",
            *(f"{note}\n" for note in notes),
        ]
    )


def races(peer: str, rows: Sequence[Case]) -> list[str]:
    """Lineal and its peer, and what Lineal asked of the registry for it."""
    head = ("case", "Lineal", peer, "ratio", "at least", "", "range of Lineal", f"range of {peer}")
    asked = ("case", "engine", "requests", "bytes read", "layers of the parent read", "of a RUN through Lineal",
             "memory", "")  # fmt: skip
    return [
        *table(head, [_race(case) for case in rows]),
        "",
        f"Seconds are medians; ratio = {peer} / Lineal. What Lineal's run asked of the registry, counted by the "
        "registry's access log, the bytes of a `RUN`'s layer that its own process read or wrote, and the memory of "
        "its processes at one moment:",
        "",
        *table(asked, [_frugality(case) for case in rows]),
    ]


def missed(rows: Iterable[Case], limits: Iterable[Limit]) -> list[str]:
    """The names of what does not reach its target."""
    return [
        *(case.name for case in rows if case.ratio < case.at_least or not case.frugal),
        *(limit.name for limit in limits if limit.value > limit.at_most),
    ]


def _race(case: Case) -> tuple[str, ...]:
    return (
        case.name,
        f"{median(case.lineal):.2f} s",
        f"{median(case.peer):.2f} s",
        f"{case.ratio:.2f}",
        f"{case.at_least:.2f}",
        _verdict(case.ratio >= case.at_least),
        _range(case.lineal),
        _range(case.peer),
    )


def _frugality(case: Case) -> tuple[str, ...]:
    return (
        case.name,
        "used" if case.with_engine else "its address points nowhere",
        _bounded(case.requests, case.most_requests),
        _bounded(case.bytes_read, case.most_bytes),
        _bounded(case.parent_layers_read, case.most_parent_layers),
        _bounded(case.through_lineal, case.most_through),
        f"{case.memory / 1e6:.0f} MB (at most {case.most_memory / 1e6:.0f})",
        _verdict(case.frugal),
    )


def _limit(limit: Limit) -> tuple[str, ...]:
    return (
        limit.name,
        f"{limit.value:.2f} {limit.unit}" if limit.value < 10 else f"{limit.value:.0f} {limit.unit}",
        f"{limit.at_most} {limit.unit}",
        _verdict(limit.value <= limit.at_most),
        limit.remark,
    )


def _bounded(value: int, most: int | None) -> str:
    return f"{value:,}" if most is None else f"{value:,} (at most {most:,})"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"


def _range(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.2f}–{max(seconds):.2f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)]
