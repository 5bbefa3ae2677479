"""The snapshot that a run begins with: the newest that its commit may use and its policy believes."""

from __future__ import annotations

from dataclasses import dataclass

from lineal.caches.publication import Parts, read_parts, read_record
from lineal.caches.snapshot import Broken
from lineal.git.history import Ancestry
from lineal.stages.candidate import Candidate
from lineal.stages.lookup import Lookup
from lineal.stages.visibility import Verdict
from lineal.store.tags import cache_tags

_BATCH, _MOST = 16, 64
"""Snapshots that are looked at together, the newest first, and in all: whoever may push can add any number."""
NONE = "none yet"


@dataclass(frozen=True, slots=True)
class Found:
    """A published snapshot, and the rule that made it visible."""

    candidate: Candidate
    rule: str
    parts: Parts


@dataclass(frozen=True, slots=True)
class Missing:
    reason: str
    broken: bool = False
    """Whether there is one, which cannot be used."""


def newest(lookup: Lookup, key: str) -> Found | Missing:
    """Own line first, then what is newest along the history of the commit. Raises `Unreachable`."""
    tags = sorted(lookup.store.tags(cache_tags(key)), reverse=True)[:_MOST]
    hidden = broken = ""
    for start in range(0, len(tags), _BATCH):
        candidates = _read(lookup, key, tags[start : start + _BATCH])
        judged = list(zip(candidates, lookup.eligibility.verdicts(candidates), strict=True))
        usable = [pair for pair in judged if pair[1].answer is Ancestry.YES]
        for candidate, verdict in sorted(usable, key=lambda pair: _order(lookup, pair), reverse=True):
            try:
                return Found(candidate, verdict.rule, read_parts(lookup.store, candidate.index))
            except Broken as error:
                broken = broken or str(error)
        hidden = hidden or next((verdict.rule for _, verdict in judged if verdict.answer is not Ancestry.YES), "")
    return Missing(broken, broken=True) if broken else Missing(hidden or NONE)


def _read(lookup: Lookup, key: str, tags: list[str]) -> list[Candidate]:
    def read(tag: str) -> Candidate | None:
        index = lookup.store.manifest(tag)
        record = read_record(index, tag, key) if index is not None else None
        if index is None or record is None:
            return None
        found = Candidate(record, tag, index)
        lookup.eligibility.doubt(found)  # its signature is read beside those of the others
        return found

    return [found for found in lookup.pool.map(read, tags) if found is not None]


def _order(lookup: Lookup, pair: tuple[Candidate, Verdict]) -> tuple[bool, int]:
    record = pair[0].record
    return bool(lookup.eligibility.line.branch) and record.branch == lookup.eligibility.line.branch, record.created
