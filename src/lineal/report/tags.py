"""The tags of finished images in words: what was written where, and what was left alone, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from lineal.report.model import ImageReport, Report, TagOutcome, TagReport
from lineal.text import strip_controls

_LINES = 20
_WORDS: dict[TagOutcome, str] = {
    "written": "written",
    "moved": "moved",
    "there": "there already",
    "left": "left alone",
    "planned": "to write",
    "refused": "refused",
}


def lines(report: Report) -> Iterator[str]:
    """`api  ghcr.io/acme/api: 1.2.3 written; latest left alone (…)`, a line for each image and repository; of
    many the first, those with something to tell before others."""
    every = [
        (image.name, repository, list(tags))
        for image in report.images
        for repository, tags in groupby(image.tags, key=lambda tag: tag.repository)
    ]
    telling = sorted(range(len(every)), key=lambda number: min(map(_silence, every[number][2])))[:_LINES]
    for name, repository, tags in (every[number] for number in sorted(telling)):
        yield strip_controls(f"{name}  {repository}: {'; '.join(map(words, tags))}")
    if len(every) > _LINES:
        counts = Counter(tag.outcome for number in set(range(len(every))) - set(telling) for tag in every[number][2])
        told = ", ".join(f"{counts[outcome]} {word}" for outcome, word in _WORDS.items() if counts[outcome])
        yield f"The other tags: {told}."


def _silence(tag: TagReport) -> int:
    """The more it tells, the less."""
    return {"refused": 0, "left": 1, "there": 3}.get(tag.outcome, 2)


def words(tag: TagReport) -> str:
    reason = f" ({tag.reason.rstrip('.')})" if tag.reason and tag.outcome in ("left", "refused") else ""
    return f"{tag.name} {_WORDS[tag.outcome]}{reason}"


def references(image: ImageReport) -> list[str]:
    """The tags that name this image now, as `repository:tag`."""
    return [tag.reference for tag in image.tags if tag.outcome in ("written", "moved", "there")]
