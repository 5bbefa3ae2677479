"""The timeline of a run as a Mermaid picture."""

from __future__ import annotations

import re
from itertools import groupby

from lineal.report.model import Report
from lineal.report.timeline import Bar, bars, made_in
from lineal.text import plural

_BARS = 24
_LABEL = 48
_KEPT = re.compile(r"[^A-Za-z0-9 /=._-]+")
"""Mermaid reads other signs as its own."""


def timeline(report: Report) -> str:
    """The fenced picture, and how many stages have no room in it; empty for a run without a timeline."""
    found = bars(report, _BARS)
    if not found:
        return ""
    left_out = max(made_in(report) - _BARS, 0)
    lines = ["```mermaid", "gantt", "  dateFormat x", "  axisFormat %M:%S"]
    for section, some in groupby(found, key=lambda bar: bar.section):
        lines += [f"  section {_words(section)}", *(_line(bar) for bar in some)]
    return "\n".join([*lines, "```", *[f"\n… and {plural(left_out, 'other stage')}."] * bool(left_out)])


def _line(bar: Bar) -> str:
    kind = "crit" if bar.waited_for else "active"
    began = round(bar.began * 1000)
    times = f"{kind}, {began}, {max(round(bar.ended * 1000), began + 1)}"
    return f"  {_words(bar.text)} ({'failed, ' * bar.failed}{bar.took}) :{times}"


def _words(text: str) -> str:
    return " ".join(_KEPT.sub(" ", text).split())[:_LABEL].strip() or "-"
