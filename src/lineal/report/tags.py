"""The tags of finished images in words: what was written where, and what was left alone, and why."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from lineal.report.model import ImageReport, Report, TagOutcome, TagReport
from lineal.text import strip_controls

_WORDS: dict[TagOutcome, str] = {
    "written": "written",
    "moved": "moved",
    "there": "there already",
    "left": "left alone",
    "planned": "to write",
    "refused": "refused",
}


def lines(report: Report) -> Iterator[str]:
    """`api  ghcr.io/acme/api: 1.2.3 written; latest left alone (…)`, a line for each image and repository."""
    for image in report.images:
        for repository, tags in groupby(image.tags, key=lambda tag: tag.repository):
            yield strip_controls(f"{image.name}  {repository}: {'; '.join(map(words, tags))}")


def words(tag: TagReport) -> str:
    reason = f" ({tag.reason.rstrip('.')})" if tag.reason and tag.outcome in ("left", "refused") else ""
    return f"{tag.name} {_WORDS[tag.outcome]}{reason}"


def references(image: ImageReport) -> list[str]:
    """The tags that name this image now, as `repository:tag`."""
    return [tag.reference for tag in image.tags if tag.outcome in ("written", "moved", "there")]
