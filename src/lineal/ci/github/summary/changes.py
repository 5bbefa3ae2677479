"""The changes that a deploy would make in the cluster, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from lineal.ci.github.summary.markdown_escape import code, fenced
from lineal.report.diff import sentence, title
from lineal.report.model import Report


def blocks(report: Report) -> Iterator[str]:
    """A sentence, then a block for each change; a page may end after any of them."""
    if report.changes is None:
        return
    yield f"**{sentence(report.changes)}**"
    for change in report.changes:
        head = f"{change.action} {code(title(change))}"
        yield f"{head}\n\n{fenced(change.diff)}" if change.diff else head
