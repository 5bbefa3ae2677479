"""The page of `--report-html`: a report as one HTML file that needs nothing else, and asks nobody for anything.

`page.html.j2` is its text and `page.css` its looks. All values are untrusted: they are made printable, cut and
escaped where the template writes them, and a Content Security Policy forbids every script and every request
besides."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.report.diff import drift_sentence, sentence, title
from lineal.report.headline import headline
from lineal.report.model import ImageReport, Report, StageReport
from lineal.report.next_steps import next_steps
from lineal.report.stage_graph import MADE, ORDER, WORDS, StageGraph, counted, worst
from lineal.report.tags import words
from lineal.report.timeline import Bar, bars, made_in
from lineal.text import duration, printable, size, strip_controls

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

BUDGET = 990_000
"""Bytes of a page."""
_BARS = 24
_SEEN = 30
"""Images that are seen without a click."""
_OUTPUTS = 3
"""Failed stages whose output is shown: when several fail at once, the first ones tell."""
_OTHERS = 49
"""Failures that are shown beside the first."""
_OPEN = 6
"""Up to this many images with something new, their stages are seen without a click."""
_LONGEST = 2000
"""Characters of one text ..."""
_OUTPUT_LINE = 400
"""... of a line that a command printed ..."""
_REASON = 200
"""... and of one that stands in each row of a table."""
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
"""Seconds between two lines of the timeline."""


def page(report: Report, budget: int = BUDGET) -> str:
    """The whole file, in at most some `budget` bytes of UTF-8: what failed and what is new stands first, and what has
    no room is counted."""
    css = (Path(__file__).parent / "page.css").read_text()
    parts = _template(report)
    head = parts.head(report)
    room = budget - len(f"{css}{head}".encode())
    changes = _fitting([(parts.change(one), "") for one in report.changes or ()], room // 2)
    room -= sum(len(block.encode()) for block in changes)
    lineage = StageGraph(report)
    images = _fitting(_cards(report, lineage, parts), room)
    left_out = len(report.images) - len(images)
    more_changes = len(report.changes or ()) - len(changes)
    return str(parts.page(css, _hash(css), head, changes, more_changes, images[:_SEEN], images[_SEEN:], left_out))


def _template(report: Report) -> Any:
    """The macros of the template, with what they say of the report."""
    from markupsafe import Markup

    return _environment().get_template("page.html.j2").make_module({
        # Sentences of ours, in which only `code` sets what others wrote.
        "headline": Markup(headline(report, _code)),  # noqa: S704
        "steps": [Markup(step) for step in next_steps(report, _code)] if report.error is not None else [],  # noqa: S704
        "changed": (drift_sentence if report.command == "drift" else sentence)(report.changes or ()),
        "bars": bars(report, _BARS),
        "ruler": _Ruler,
        "without_bar": max(made_in(report) - _BARS, 0),
        "failed": [stage for stage in report.stages if stage.outcome == "failed" and stage.output][:_OUTPUTS],
        "errors": [report.error, *report.error.others[:_OTHERS]] if report.error is not None else [],
        "lost": 0 if report.may_write else sum(stage.outcome in MADE for stage in report.stages),
        "facts": list(_facts(report)),
        "of_commit": report.context is not None,
    })  # fmt: skip


@cache
def _environment() -> Environment:
    """Words and formats that the template uses."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        return _shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["code"] = _code
    environment.filters |= {
        "duration": duration,
        "size": size,
        "title_of": title,
        "words": words,
        "lines": _block,
        "brief": partial(_shown, limit=_REASON),
        "text": Markup,
    }
    return environment


def _code(text: str, limit: int = 160) -> Markup:
    from markupsafe import Markup

    shown = _shown(text, limit)
    return Markup("<code>{}</code>").format(shown) if shown.strip() else Markup()


def _shown(text: str, limit: int = _LONGEST) -> str:
    """One line, without signs that nobody sees or that steer the eye elsewhere."""
    return printable(strip_controls(" ".join(text.split())), limit)


def _block(lines: Sequence[str]) -> Markup:
    """Lines as they are, for `<pre>`."""
    from markupsafe import escape

    return escape("\n").join(printable(strip_controls(line), _OUTPUT_LINE) for line in lines)


# --- images -----------------------------------------------------------------------------------------------------


def _cards(report: Report, lineage: StageGraph, parts: Any) -> Iterator[tuple[str, str]]:
    """Each image whole, and without its stages; failed and new ones first."""
    rank = {outcome: number for number, outcome in enumerate(ORDER)}
    own = {image.name: lineage.own(image.name) for image in report.images}
    images = sorted(report.images, key=lambda image: rank[worst(own[image.name])])
    busy = sum(worst(own[image.name]) != "cached" for image in images)
    for image in images:
        stages = own[image.name]
        outcome = worst(stages)
        about = parts.about(image, outcome, _line(image, stages))
        tags = [(repository, list(some)) for repository, some in groupby(image.tags, lambda tag: tag.repository)]
        several = len({stage.platform for stage in stages}) > 1
        whole = parts.card(about, image, tags, stages, WORDS, several, outcome != "cached" and busy <= _OPEN)
        yield whole, parts.bare_card(about)


def _line(image: ImageReport, stages: Sequence[StageReport]) -> str:
    """What a reader sees of an image before a click."""
    saved = duration(sum(stage.saved for stage in stages))
    facts = [counted(stages), duration(sum(stage.duration for stage in stages)), f"saved {saved}" if saved else ""]
    facts.append((image.digest or "").removeprefix("sha256:")[:12])
    return " · ".join(fact for fact in facts if fact)


def _fitting(blocks: Iterable[tuple[str, str]], room: int) -> list[str]:
    """The first blocks that have room. Of a pair the second is taken where the first has none, so that a line of each
    is seen before the details of all."""
    pairs = list(blocks)
    least = [len((short or whole).encode()) for whole, short in pairs]
    room -= sum(least)
    while pairs and room < 0:
        pairs.pop()
        room += least.pop()
    found = []
    for (whole, short), need in zip(pairs, least, strict=True):
        more = len(whole.encode()) - need
        fits = more <= room
        room -= more * fits
        found.append(whole if fits else short)
    return found


# --- the head ---------------------------------------------------------------------------------------------------


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    """What the run was about, and what it cost: a word and its text."""
    context, bundle = report.context, report.bundle
    told: list[tuple[str, str | None]] = [("project", report.project), ("store", report.store)]
    if context is not None:
        number = None if context.pull_request is None else str(context.pull_request)
        told += [("commit", context.commit[:12]), ("branch", context.branch), ("tag", context.tag)]
        told += [("pull request", number)]
    if bundle is not None:
        told += [("bundle", bundle.version or bundle.reference), ("commit", (bundle.commit or "")[:12])]
    pulled, pushed = (sum(s.bytes_pulled for s in report.stages), sum(s.bytes_pushed for s in report.stages))
    told += [("stages", counted(report.stages)), ("pulled", size(pulled) if pulled else "")]
    told += [("pushed", size(pushed) if pushed else ""), ("took", duration(report.duration))]
    told += [("saved by the cache", duration(report.saved))]
    told += [("requests", str(report.requests or "")), ("lineal", report.lineal)]
    return ((word, text) for word, text in told if text)


class _Ruler:
    """The axis of a timeline: seconds as percent of its width."""

    def __init__(self, found: Sequence[Bar]) -> None:
        self._end = max(bar.ended for bar in found)
        step: int = next((one for one in _TICKS if self._end / one <= 6), round(self._end / 5))
        self.ticks: list[tuple[str, str]] = [
            (self.at(second), f"{second}s" if second < 60 else duration(second))
            for second in range(0, int(self._end * 0.93) + 1, step)
        ]

    def at(self, seconds: float) -> str:
        return f"{seconds / self._end:.2%}"

    def width(self, bar: Bar) -> str:
        return f"{max((bar.ended - bar.began) / self._end, 0.002):.2%}"


def _hash(css: str) -> str:
    """The one style that the page may have, for its policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
