"""The table at the end of a run: every image, what happened to its stages, how long it took and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

from lineal.report import diff, tags
from lineal.report.model import CacheReport, ImageReport, Report, StageReport
from lineal.report.stage_graph import MADE, ORDER, WORDS, counted, worst
from lineal.text import OUTCOME_STYLE, cells, defuse_commands, duration, fit, pad, paint, plural, size, strip_controls
from lineal.value import dataclass

_LISTED = 8
"""Fully cached images up to this many get a line each; more are counted."""
_SHOWN = 20
"""Other images that are shown with their stages, those that failed before others; the rest is counted."""
_NARROWEST = 60
_WIDE = 120
"""From this width on there is a column for what was pushed."""
_RESULT = 9
_TIME = 7
_PUSHED = 8


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    outcome: str
    seconds: float = 0.0
    pushed: int = 0
    why: str = ""
    is_image: bool = False


def summary(report: Report, *, colour: bool, width: int) -> str:
    """The table and its last lines, ending in a newline. `width` in columns; plain ASCII around the content when
    there is no colour."""
    # A command about no commit has no stages.
    rows = list(_rows(report)) if report.context is not None else []
    table = _Table(rows, colour, max(width, _NARROWEST))
    lines = [*table.lines(), *tags.lines(report), *(paint(line, "bold", colour) for line in _totals(report))]
    lines += diff.lines(report, colour=colour)
    return "".join(defuse_commands(line.rstrip()) + "\n" for line in lines)


# --- rows -----------------------------------------------------------------------------------------------------------


def _rows(report: Report) -> Iterator[_Row]:
    stages: dict[str, list[StageReport]] = {}
    for stage in report.stages:
        stages.setdefault(stage.image, []).append(stage)
    images = {image.name: image for image in report.images}
    outcomes = {name: worst(stages.get(name, ())) for name in [*images, *(set(stages) - set(images))]}
    quiet = [name for name, outcome in outcomes.items() if outcome == "cached"]
    busy = [name for name, outcome in outcomes.items() if outcome != "cached"]
    shown = set(sorted(busy, key=lambda name: outcomes[name] != "failed")[:_SHOWN])
    for name in busy:
        if name in shown:
            yield _image_row(name, outcomes[name], images.get(name), stages.get(name, []))
            yield from _stage_rows(stages.get(name, []))
    for outcome in ORDER:
        if rest := [name for name in busy if name not in shown and outcomes[name] == outcome]:
            yield _together(f"{plural(len(rest), 'more image')}", outcome, rest, stages)
    if len(quiet) <= _LISTED:
        for name in quiet:
            yield _image_row(name, "cached", images.get(name), stages.get(name, []))
    else:
        yield _together(f"{len(quiet)} images", "cached", quiet, stages)


def _together(title: str, outcome: str, names: list[str], stages: dict[str, list[StageReport]]) -> _Row:
    """One line for many images."""
    own = [stage for name in names for stage in stages.get(name, [])]
    took, pushed = sum(stage.duration for stage in own), sum(stage.bytes_pushed for stage in own)
    return _Row(title, outcome, took, pushed, ", ".join(strip_controls(name) for name in names), is_image=True)


def _image_row(name: str, outcome: str, image: ImageReport | None, stages: list[StageReport]) -> _Row:
    digest = image.digest if image is not None and image.digest else ""
    others = [part.name for part in image.platforms if not part.wanted and not part.published] if image else []
    waits = strip_controls(f"waits for {', '.join(others)}") if others else ""
    requires = strip_controls(f"requires {', '.join(image.requires)}") if image is not None and image.requires else ""
    saved = duration(sum(stage.saved for stage in stages))
    return _Row(
        strip_controls(name),
        outcome,
        sum(stage.duration for stage in stages),
        sum(stage.bytes_pushed for stage in stages),
        "  ".join(text for text in (digest[:19], saved and f"saved {saved}", waits, requires) if text),
        is_image=True,
    )


def _stage_rows(stages: list[StageReport]) -> Iterator[_Row]:
    """A line for each stage; two and more cached ones in a row share one."""
    several_targets = len({stage.target for stage in stages}) > 1
    several_platforms = len({stage.platform for stage in stages}) > 1
    numbered = list(enumerate(stages, 1))
    for (cached, platform), group in groupby(
        numbered, key=lambda item: (item[1].outcome == "cached", item[1].platform)
    ):
        members = list(group)
        on = f"{strip_controls(platform)} " if several_platforms else ""
        if cached and len(members) > 1:
            reasons = {stage.reason for _, stage in members}
            keywords = ", ".join(dict.fromkeys(_words(stage)[0] for _, stage in members))
            name = f"  {members[0][0]}-{members[-1][0]} {on}{keywords}"
            yield _Row(name, "cached", why=strip_controls(reasons.pop()) if len(reasons) == 1 else "")
            continue
        for number, stage in members:
            target = f"{strip_controls(stage.target)}: " if several_targets and not stage.target.isdecimal() else ""
            instruction = " ".join(_words(stage))
            yield _Row(
                f"  {number} {on}{target}{instruction}",
                stage.outcome,
                stage.duration,
                stage.bytes_pushed,
                strip_controls(" ".join(stage.reason.split())),
            )
            for cache in stage.caches:
                yield _Row(
                    f"    cache {strip_controls(cache.id)}", "", cache.seconds, cache.bytes_pushed, _begins(cache)
                )


def _begins(cache: CacheReport) -> str:
    """What a cache began with, and what became of it."""
    begins = f"{size(cache.size)} " if cache.size else ""
    begins += f"of {cache.commit[:7]}, {cache.reason}" if cache.snapshot else f"empty, {cache.reason or 'none yet'}"
    return strip_controls(f"{begins}{f'; {cache.kept}' if cache.kept else ''}")


def _words(stage: StageReport) -> list[str]:
    return strip_controls(" ".join(stage.instruction.split())).split() or ["(metadata)"]


# --- layout ---------------------------------------------------------------------------------------------------------


class _Table:
    """Columns: name, result, time, pushed (on wide screens), why (folded into at most three lines)."""

    def __init__(self, rows: list[_Row], colour: bool, width: int) -> None:
        self.rows = rows
        self.colour = colour
        self.ellipsis = "…" if colour else "..."
        self.pushes = width >= _WIDE and any(row.pushed for row in rows)
        fixed = _RESULT + _TIME + 4 + (_PUSHED + 2 if self.pushes else 0)
        names = max([cells(row.name) for row in rows], default=0)
        self.name = min(max(names, 16), (width - fixed) * 11 // 20)
        self.why = width - fixed - self.name - 2
        self.rule = ("─" if colour else "-") * (width if any(row.why for row in rows) else self.name + fixed)

    def lines(self) -> Iterator[str]:
        if not self.rows:
            return
        titles = f"{pad('IMAGE / STAGE', self.name)}  {'RESULT':<{_RESULT}}  {'TIME':>{_TIME}}"
        titles += f"  {'PUSHED':>{_PUSHED}}" if self.pushes else ""
        yield paint(titles + "  WHY", "dim", self.colour)
        yield paint(self.rule, "dim", self.colour)
        for row in self.rows:
            yield from self._row(row)
        yield paint(self.rule, "dim", self.colour)

    def _row(self, row: _Row) -> Iterator[str]:
        name = pad(fit(row.name, self.name, self.ellipsis), self.name)
        style = "bold" if row.is_image else ("dim" if row.outcome == "cached" else "")
        outcome = f"{WORDS.get(row.outcome, row.outcome):<{_RESULT}}"
        cell = paint(outcome, OUTCOME_STYLE.get(row.outcome, ""), self.colour)
        line = f"{paint(name, style, self.colour)}  {cell}  {duration(row.seconds):>{_TIME}}"
        if self.pushes:
            line += f"  {size(row.pushed) if row.pushed else '':>{_PUSHED}}"
        indent = " " * (cells(name) + _RESULT + _TIME + 4 + (_PUSHED + 2 if self.pushes else 0))
        first, *more = self._why(row) or [""]
        yield f"{line}  {first}"
        for text in more:
            yield f"{indent}  {text}"

    def _why(self, row: _Row) -> list[str]:
        most = 1 if row.outcome == "cached" else 3
        lines = textwrap.wrap(row.why, self.why, max_lines=most, placeholder=f" {self.ellipsis}")
        return [paint(fit(line, self.why, self.ellipsis), "dim", self.colour) for line in lines]


# --- the last lines -------------------------------------------------------------------------------------------------


def _totals(report: Report) -> Iterator[str]:
    if report.context is not None:
        yield from _work(report)
    if report.release is not None:
        took = f" in {duration(report.release.duration)}" if duration(report.release.duration) else ""
        release = strip_controls(
            f"{report.release.name} in namespace {report.release.namespace}: {report.release.status}"
        )
        told = "".join(f" {strip_controls(said)}" for said in report.release.told)
        yield f"Release {release}{took}.{told}"


def _work(report: Report) -> Iterator[str]:
    line = f"{plural(len(report.images), 'image')}, {plural(len(report.stages), 'stage')}"
    line += f": {counted(report.stages, reversed(ORDER))}." if report.stages else "."
    pulled = sum(stage.bytes_pulled for stage in report.stages)
    pushed = sum(stage.bytes_pushed for stage in report.stages)
    moved = [f"{size(pulled)} pulled"] * bool(pulled) + [f"{size(pushed)} pushed"] * bool(pushed)
    if not (report.store or "").startswith("layout:"):
        moved += [plural(report.requests, "registry request")] * bool(report.requests)
    moved += [duration(report.duration)] * bool(duration(report.duration))
    saved = duration(report.saved)
    yield f"{line} {', '.join(moved)}{'.' if moved else ''}{f' The cache saved {saved}.' if saved else ''}"
    if not report.may_write and any(stage.outcome in MADE for stage in report.stages):
        yield "Nothing was published: this run may only read the store."
