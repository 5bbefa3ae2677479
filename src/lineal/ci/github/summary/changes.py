"""The changes that a deploy would make in the cluster, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from lineal.ci.github.summary.markdown_escape import code, fenced
from lineal.report.diff import drift_sentence, sentence, title
from lineal.report.model import Report


def blocks(report: Report) -> Iterator[str]:
    """A sentence, then a block for each change; a page may end after any of them."""
    if report.changes is None:
        return
    said = drift_sentence(report.changes) if report.command == "drift" else sentence(report.changes)
    yield f"**{said}**"
    for change in report.changes:
        head = f"{change.action} {code(title(change))}"
        yield f"{head}\n\n{fenced(change.diff)}" if change.diff else head
