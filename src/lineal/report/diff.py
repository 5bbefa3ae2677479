"""The changes that a deploy would make in the cluster, as sentences and as lines of a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lineal.report.model import Action, ChangeReport, Report
from lineal.text import paint, plural, strip_controls

_DONE: dict[Action, str] = {"create": "created", "change": "changed", "delete": "deleted"}
_COLOURS = {"+": "green", "-": "failed", "@": "cyan"}


def sentence(changes: Sequence[ChangeReport]) -> str:
    """`2 objects would change: 1 created, 1 changed.`"""
    if not changes:
        return "Nothing in the cluster would change."
    counts = Counter(change.action for change in changes)
    parts = [f"{counts[action]} {word}" for action, word in _DONE.items() if counts[action]]
    return f"{plural(len(changes), 'object')} in the cluster would change: {', '.join(parts)}."


def drift_sentence(changes: Sequence[ChangeReport]) -> str:
    """`2 objects in the cluster differ from what was deployed: 1 changed, 1 deleted.`"""
    if not changes:
        return "The cluster is as it was deployed."
    counts = Counter(change.action for change in changes)
    parts = [f"{counts[action]} {word}" for action, word in _DONE.items() if counts[action]]
    word = "differs" if len(changes) == 1 else "differ"
    return f"{plural(len(changes), 'object')} in the cluster {word} from what was deployed: {', '.join(parts)}."


def drift_lines(changes: Sequence[ChangeReport], told: Sequence[str]) -> Iterator[str]:
    """For `lineal drift`: a sentence, who changed what, and the diffs."""
    yield drift_sentence(changes)
    yield from (strip_controls(line) for line in told)
    yield from _blocks(changes, colour=False)


def lines(report: Report, *, colour: bool) -> Iterator[str]:
    if report.changes is None:
        return
    yield ""
    yield paint(sentence(report.changes), "bold", colour)
    yield from _blocks(report.changes, colour=colour)


def _blocks(changes: Sequence[ChangeReport], *, colour: bool) -> Iterator[str]:
    for change in changes:
        yield ""
        yield paint(strip_controls(f"{change.action} {title(change)}"), "bold", colour)
        for line in change.diff:
            text = strip_controls(f"  {line}")
            yield paint(text, _COLOURS[line[0]], colour) if line[:1] in _COLOURS else text


def title(change: ChangeReport) -> str:
    """`Deployment api in namespace shop`; untrusted text."""
    where = f" in namespace {change.namespace}" if change.namespace else ""
    return f"{change.kind} {change.name}{where}{' (hook)' if change.hook else ''}"
