"""The page of a run: a report as Markdown, for GitHub's job summary.

What stands first matters most, and the page never grows past its budget: when it would, details of images that were
there already go first, then other details, then rows. Of many images a reader sees the first, and the others after a
click."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, takewhile

from lineal.ci.github.summary.changes import blocks
from lineal.ci.github.summary.failure import output, sentence, steps
from lineal.ci.github.summary.markdown_escape import code, plain
from lineal.ci.github.summary.mermaid import graph
from lineal.ci.github.summary.step_summary import BUDGET
from lineal.ci.github.summary.timeline import timeline
from lineal.report.headline import headline
from lineal.report.model import (
    BundleReport,
    ContextReport,
    ErrorReport,
    ImageReport,
    PlatformReport,
    Report,
    StageReport,
)
from lineal.report.stage_graph import MADE, ORDER, WORDS, StageGraph, counted, worst
from lineal.report.tags import words
from lineal.text import duration, plural, size

_SEEN = 20
"""Images that are seen without a click."""
_RESERVE = 300
"""Bytes for saying what has no room."""
_NO_ROOM = "have no room here; `--report` has them all."
_MARKS = {"failed": "❌", "missing": "🔨", "built": "🟢", "assembled": "🟢", "adopted": "🔵", "cached": "⚪"}
_MEANS = {
    "failed": "failed",
    "missing": "to build",
    "built": "made by this run",
    "adopted": "published by another run first",
    "cached": "there already",
}


def page(report: Report, budget: int = BUDGET) -> str:
    """The whole page, ending in a newline, in at most `budget` bytes (of which some 300 are always used)."""
    lineage = StageGraph(report)
    writer = _Writer(budget)
    for block in filter(None, _head(report)):
        writer.add(block)
    changes = list(blocks(report))
    if writer.add_all(changes) < len(changes):
        writer.remark(f"The other changes in the cluster {_NO_ROOM}")
    if report.context is None:
        _add_names(writer, report.images)
        return writer.text()
    images = _ordered(report, lineage)
    _add_table(writer, images, lineage)
    picture = graph(report)
    if picture:
        quiet = worst(report.stages) == "cached"
        writer.add((_folded("The graph of stages", picture) if quiet else picture) + f"\n\n{_legend(report)}")
    if bars := timeline(report):
        writer.add(_folded("Where the time went: red is what the run waited for", bars))
    _add_details(writer, images, lineage)
    return writer.text()


def error_page(command: str, error: ErrorReport) -> str:
    """The page of a run that failed before it knew its images."""
    return f"### ❌ {code('lineal ' + command)} failed.\n\n{sentence(error)}\n"


class _Writer:
    """Blocks of Markdown, as long as they fit."""

    def __init__(self, budget: int) -> None:
        self._left = budget - _RESERVE
        self._blocks: list[str] = []

    def add(self, block: str) -> bool:
        """Whether it fitted."""
        need = len(block.encode()) + 2
        if need > self._left:
            return False
        self._left -= need
        self._blocks.append(block)
        return True

    def add_all(self, blocks: Iterable[str]) -> int:
        """The first blocks, as many as fit: how many."""
        return sum(1 for _ in takewhile(self.add, blocks))

    def add_table(self, head: list[str], rows: Iterable[str]) -> int:
        """The first rows, as many as fit into half of the room: how many."""
        room = self._left // 2 - sum(len(line.encode()) + 1 for line in head)
        kept: list[str] = []
        for row in rows:
            room -= len(row.encode()) + 1
            if room < 0:
                break
            kept.append(row)
        return len(kept) if kept and self.add("\n".join([*head, *kept])) else 0

    @contextmanager
    def folded(self, title: str) -> Iterator[None]:
        """What is added meanwhile is seen after a click."""
        begins, ends, before = f"<details><summary>{title}</summary>", "</details>", len(self._blocks)
        self._left -= len(begins.encode()) + len(ends) + 4
        yield
        if len(self._blocks) > before:
            self._blocks[before:] = [begins, *self._blocks[before:], ends]

    def remark(self, text: str) -> None:
        """A short sentence of ours; `_RESERVE` is the room for all of them."""
        self._blocks.append(text)

    def text(self) -> str:
        return "\n\n".join(self._blocks) + "\n"


# --- the head ---------------------------------------------------------------------------------------------------


def _head(report: Report) -> Iterator[str]:
    yield f"### {headline(report, code)}"
    if report.error is not None:
        # The sentence may say that the output is above it, as it is in the log.
        yield from output(report)
        yield sentence(report.error)
        yield steps(report)
    if report.release is not None:
        took = duration(report.release.duration)
        yield (
            f"**Release** {code(report.release.name)} in namespace {code(report.release.namespace)}: "
            f"{code(report.release.status)}"
            + (f" after {took}" if took else "")
            + "".join(f". {plain(said, 500).rstrip('.')}" for said in report.release.told)
        )
    made = [stage for stage in report.stages if stage.outcome in MADE]
    if made and not report.may_write:
        yield (
            f"> **Nothing was published.** This run may only read the store, as a pull request from a fork does. The "
            f"{plural(len(made), 'stage')} that it made ended with it; a run of the project itself makes them again."
        )
    yield _facts(report)


def _facts(report: Report) -> str:
    about = code(report.project or "") + (f" in {code(report.store)}" if report.store else "")
    facts = [about] if report.project else []
    facts += _context_facts(report.context) if report.context is not None else []
    facts += _bundle_facts(report.bundle) if report.bundle is not None else []
    facts += [f"{plural(len(report.stages), 'stage')}: {counted(report.stages)}"] * bool(report.stages)
    pulled, pushed = (sum(s.bytes_pulled for s in report.stages), sum(s.bytes_pushed for s in report.stages))
    facts += [f"{size(pulled)} pulled"] * bool(pulled) + [f"{size(pushed)} pushed"] * bool(pushed)
    facts += [duration(report.duration)] * bool(duration(report.duration))
    facts += [f"the cache saved {duration(report.saved)}"] * bool(duration(report.saved))
    return " · ".join(facts)


def _context_facts(context: ContextReport) -> list[str]:
    facts = [f"commit {code(context.commit[:7])}"]
    facts += [f"pull request {context.pull_request}"] * (context.pull_request is not None)
    facts += [f"branch {code(context.branch or '')}"] * bool(context.branch)
    facts += [f"tag {code(context.tag or '')}"] * bool(context.tag)
    return facts


def _bundle_facts(bundle: BundleReport) -> list[str]:
    facts = [f"bundle {code(bundle.version or bundle.reference)}"]
    facts += [f"commit {code((bundle.commit or '')[:7])}"] * bool(bundle.commit)
    return facts


# --- images -----------------------------------------------------------------------------------------------------


def _ordered(report: Report, lineage: StageGraph) -> list[ImageReport]:
    """Failed and new entries first."""
    rank = {outcome: number for number, outcome in enumerate(ORDER)}
    return sorted(report.images, key=lambda image: rank[worst(lineage.own(image.name))])


def _add_table(writer: _Writer, images: list[ImageReport], lineage: StageGraph) -> None:
    stages = [stage for image in images for stage in lineage.own(image.name)]
    pulled, pushed = any(stage.bytes_pulled for stage in stages), any(stage.bytes_pushed for stage in stages)
    saved = any(duration(stage.saved) for stage in stages)
    head = ["", "Image", "Stages", "Time", *["Saved"] * saved, "Digest", *["Pulled"] * pulled, *["Pushed"] * pushed]
    rule = [":-:", ":--", ":--", "--:", *["--:"] * saved, ":--", *["--:"] * (pulled + pushed)]
    rows = [_row(image, lineage.own(image.name), saved, pulled, pushed) for image in images]
    _add_rows(writer, [_cells(head), _cells(rule)], rows)


def _add_names(writer: _Writer, images: list[ImageReport]) -> None:
    """Images of which nothing more is known, as those of a bundle."""
    rows = [_cells([f"**{code(image.name)}**", code(image.image or "", 300)]) for image in images]
    _add_rows(writer, [_cells(["Image", "Reference"]), _cells([":--", ":--"])], rows)


def _add_rows(writer: _Writer, head: list[str], rows: Sequence[str]) -> None:
    """A row for each image."""
    there = writer.add_table(head, rows[:_SEEN])
    if there == _SEEN < len(rows):
        with writer.folded(_others(rows)):
            there += writer.add_table(head, rows[_SEEN:])
    if there < len(rows):
        writer.remark(f"… and {plural(len(rows) - there, 'more image')}.")


def _others(images: Sequence[object]) -> str:
    return f"The other {plural(len(images) - _SEEN, 'image')}"


def _row(image: ImageReport, own: list[StageReport], saved: bool, pulled: bool, pushed: bool) -> str:
    return _cells([
        _MARKS[worst(own)],
        f"**{code(image.name)}**",
        counted(own),
        duration(sum(stage.duration for stage in own)),
        *[duration(sum(stage.saved for stage in own))] * saved,
        code((image.digest or "").removeprefix("sha256:")[:12]),
        *[_size(sum(stage.bytes_pulled for stage in own))] * pulled,
        *[_size(sum(stage.bytes_pushed for stage in own))] * pushed,
    ])  # fmt: skip


def _size(count: int) -> str:
    return size(count) if count else ""


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _legend(report: Report) -> str:
    there = {stage.outcome for stage in report.stages}
    shown = [f"{_MARKS[one]} {means}" for one, means in _MEANS.items()
             if one in there or (one == "built" and "assembled" in there)]  # fmt: skip
    return f"<sub>{' · '.join(shown)}</sub>"


def _add_details(writer: _Writer, images: Sequence[ImageReport], lineage: StageGraph) -> None:
    details = [_details(image, lineage.own(image.name)) for image in images]
    there = writer.add_all(details[:_SEEN])
    if there == _SEEN < len(images):
        with writer.folded(f"{_others(images)}, stage by stage"):
            there += writer.add_all(details[_SEEN:])
    if there < len(images):
        writer.remark(f"The stages of {plural(len(images) - there, 'image')} {_NO_ROOM}")


def _details(image: ImageReport, stages: list[StageReport]) -> str:
    several = len({stage.platform for stage in stages}) > 1
    rows = [
        _cells(["", "Line", "Stage", "Result", "Time", "Why"]),
        _cells([":-:", "--:", ":--", ":--", "--:", ":--"]),
    ]
    rows += [
        _cells([
            _MARKS[stage.outcome],
            str(stage.line),
            f"{plain(stage.platform, 40)} " * several + (code(stage.instruction) or "(metadata)"),
            WORDS.get(stage.outcome, stage.outcome),
            time_of(stage),
            plain(stage.reason, 200),
        ])
        for stage in stages
    ]  # fmt: skip
    body = "\n".join(rows)
    if image.image:
        body += f"\n\n{code(image.image, 300)}"
    if len(image.platforms) > 1:
        parts = [f"{plain(part.name, 40)} {code((part.digest or '').removeprefix('sha256:')[:12]) or state(part)}"
                 for part in image.platforms]  # fmt: skip
        body += f"\n\nPlatforms: {', '.join(parts)}"
    for repository, tags in groupby(image.tags, key=lambda tag: tag.repository):
        body += f"\n\nTags in {code(repository, 300)}: {plain('; '.join(map(words, tags)), 1000)}"
    return _folded(f"{code(image.name)}: {counted(stages) or 'the same stages as another image'}", body)


def time_of(stage: StageReport) -> str:
    """What it took, or saved."""
    saved = duration(stage.saved)
    return f"{saved} saved" if saved else duration(stage.duration)


def state(part: PlatformReport) -> str:
    """Of a part that is in no finished image, in words."""
    if part.published:
        return "(built)"
    return "(to build)" if part.wanted else "(for another run to build)"


def _folded(title: str, body: str) -> str:
    # Without the empty lines GitHub would not read the body as Markdown.
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"
