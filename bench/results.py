"""What was measured as a Markdown page; the same text is for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.cases import ENGINES, Case, Engine, Shape
from bench.kept import Kept
from bench.limits import Limit
from bench.link import Link
from bench.pieces import LINKS, SHAPES
from bench.race import PEERS, Measured, Table

FILE = Path(__file__).with_name("RESULTS.md")
_BY_HAND = [FILE.with_name(name) for name in ("IN_MEMORY.md", "CACHES.md", "WERF.md")]
"""Written by people: of what pieces print, and of a peer that no piece builds."""
_MOST_MEMORY = 150_000_000
_MOST_AGAIN = 50_000
"""Bytes: a config of some hundred is read by both Lineal and a daemon."""
_HEAD = (
    "# Lineal beside BuildKit and docker build\n",
    "Written by `make bench`, piece by piece ([results.json](results.json) has every run). Each side is measured "
    "alone and in turns with the others, with a new and empty engine (starting it is not measured), a new HOME, host "
    "networking for RUN. Seconds are medians, with all runs behind them in results.json; the ratio is that of the "
    "**best** peer to Lineal. What misses its limit stays here as missed.\n",
    "- Lineal: `lineal build --repo REGISTRY/NAME`, with the engine that the row names. Where no `RUN` has to run, "
    "the engine's address points nowhere.",
    "- BuildKit: `buildctl build` with `--import-cache type=registry --export-cache type=registry,mode=max --output "
    "type=image,push=true`; several images at once, as `buildx bake` does it.",
    "- docker: `DOCKER_BUILDKIT=1 docker build --cache-from IMAGE --build-arg BUILDKIT_INLINE_CACHE=1`, and "
    "`docker push`.",
    "- Packages come from a repository inside the base image (debootstrapped Debian, 61 MB packed), so that no other "
    "network has a part.",
    "- All sides have their files on one disk; [in memory](#the-same-in-memory) all are faster, and peers more so.",
    "- A miss may ask the registry for at most twice of what BuildKit asks in the same case; nothing that a run made "
    "or fetched is downloaded again in it, configs aside. Both counts are the registry's own, by its access log.",
)


class Row(NamedTuple):
    """A case with one of Lineal's engines, beside the peers."""

    case: Case
    engine: Engine
    ours: Measured
    peers: dict[str, Measured]

    @property
    def ratio(self) -> float:
        """Not a number without a peer."""
        best = min((median(peer.seconds) for peer in self.peers.values()), default=float("nan"))
        return best / median(self.ours.seconds)

    @property
    def fast(self) -> bool:
        return not self.ratio < self.case.at_least[self.engine]

    @property
    def most_requests(self) -> int | None:
        if self.case.most_requests is not None:
            return self.case.most_requests
        peer = self.peers.get("BuildKit")
        return 2 * peer.requests if peer else None

    @property
    def most_through(self) -> int | None:
        """A BuildKit pushes what it makes."""
        return 0 if self.engine == "buildkit" and self.case.runs else None

    @property
    def frugal(self) -> bool:
        ours = self.ours
        bounds = (
            (ours.requests, self.most_requests), (ours.bytes_again, _MOST_AGAIN), (ours.memory, _MOST_MEMORY),
            (ours.parent_layers_read, self.case.most_parent_layers), (ours.through_lineal, self.most_through),
        )  # fmt: skip
        return all(most is None or value <= most for value, most in bounds)


def rows(shape: Shape, found: Table) -> list[Row]:
    """Of what has been measured of a shape."""
    return list(_rows(shape, found))


def _rows(shape: Shape, found: Table) -> Iterator[Row]:
    for case in shape.cases:
        peers = {name: found[name][case.name] for name in PEERS if case.name in found.get(name, {})}
        for engine in ENGINES:
            if case.name in found.get(engine, {}):
                yield Row(case, engine, found[engine][case.name], peers)


def page(kept: Kept) -> str:
    """The whole page."""
    lines = [*_HEAD, "", *(f"- {line}" for line in kept.machine)]
    for shape in SHAPES:
        for name, link in LINKS.items():
            if found := rows(shape, kept.table(shape.name, name)):
                lines += ["", f"## {shape.title}, {_said(link)}", "", f"{kept.when(shape.name, name)}.", ""]
                lines += races(found)
    limits = kept.limits()
    head = ("limit", "measured", "at most", "", "on", "remark")
    lines += ["", "## Limits", "", *table(head, [_limit(*limit) for limit in limits])] if limits else []
    return "\n".join([*lines, *(f"\n{file.read_text()}" for file in _BY_HAND)])


def _said(link: Link | None) -> str:
    if link is None:
        return "registry on loopback"
    return f"a link of {link.round_trip:g} ms and {link.megabits:g} Mbit/s to the registry"


def races(found: Sequence[Row]) -> list[str]:
    """Lineal and its peers, and what they asked of the registry for it."""
    head = ("case", "Lineal with", "seconds", "BuildKit", "docker", "ratio", "at least", "")
    asked = ("case", "Lineal with", "requests", "BuildKit's", "MB read", "BuildKit's", "MB read twice",
             "layers of the parent read", "MB of a RUN through Lineal", "MB memory", "")  # fmt: skip
    lines = [*table(head, [_race(row) for row in found]), "", *table(asked, [_frugality(row) for row in found])]
    reasons = {row.case.name: row.case.why for row in found if row.case.why and not (row.fast and row.frugal)}
    return [*lines, "", *(f"Missed, {name}: {why}.\n" for name, why in reasons.items())]


def missed(found: Sequence[Row], limits: Sequence[Limit]) -> list[str]:
    """The names of what does not reach its target."""
    return [
        *(f"{row.case.name} ({row.engine})" for row in found if not row.fast or not row.frugal),
        *(limit.name for limit in limits if limit.value > limit.at_most),
    ]


def _race(row: Row) -> tuple[str, ...]:
    peers = (_seconds(row.peers[name]) if name in row.peers else "–" for name in PEERS)
    return (
        row.case.name, row.engine, _seconds(row.ours), *peers,
        f"{row.ratio:.2f}" if row.peers else "–", f"{row.case.at_least[row.engine]:.2f}",
        _verdict(row.fast) if row.peers else "–",
    )  # fmt: skip


def _frugality(row: Row) -> tuple[str, ...]:
    ours, peer = row.ours, row.peers.get("BuildKit")
    return (
        row.case.name,
        row.engine,
        _bounded(ours.requests, row.most_requests),
        f"{peer.requests:,}" if peer else "–",
        f"{ours.bytes_read / 1e6:.1f}",
        f"{peer.bytes_read / 1e6:.1f}" if peer else "–",
        f"{ours.bytes_again / 1e6:.1f} (at most {_MOST_AGAIN / 1e6:g})",
        _bounded(ours.parent_layers_read, row.case.most_parent_layers),
        _bounded(ours.through_lineal // 1_000_000, row.most_through),
        f"{ours.memory / 1e6:.0f}",
        _verdict(row.frugal),
    )


def _limit(limit: Limit, date: str) -> tuple[str, ...]:
    return (
        limit.name,
        f"{limit.value:.2f} {limit.unit}" if limit.value < 10 else f"{limit.value:.0f} {limit.unit}",
        f"{limit.at_most} {limit.unit}",
        _verdict(limit.value <= limit.at_most),
        date,
        limit.remark,
    )


def _bounded(value: int, most: int | None) -> str:
    return f"{value:,}" if most is None else f"{value:,} (at most {most:,})"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"


def _seconds(side: Measured) -> str:
    """The median, and the range where there is one."""
    one, low, high = median(side.seconds), min(side.seconds), max(side.seconds)
    return f"{one:.2f}" if len(side.seconds) == 1 else f"{one:.2f} ({low:.2f}–{high:.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)]
