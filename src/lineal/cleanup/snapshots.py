"""The snapshots of cache mounts that go: those that are old, and with which no branch and no tag would begin."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache

from lineal.caches.publication import read_record
from lineal.cleanup.refs import Ref
from lineal.cleanup.retention import Deletion
from lineal.git.command import text_of
from lineal.git.repository import Repository
from lineal.oci import Store
from lineal.store.record import Record
from lineal.store.tags import parse_cache_tag


@dataclass(frozen=True, slots=True)
class _Snapshot:
    tag: str
    digest: str
    record: Record | None
    """None for what is no snapshot of Lineal's."""


@dataclass
class SnapshotPlan:
    kept: int = 0
    deletions: list[Deletion] = field(default_factory=list)


def plan_snapshots(
    store: Store, tags: Mapping[str, Sequence[str]], refs: Sequence[Ref], repository: Repository, project: str,
    since: int, pool: Executor,
) -> SnapshotPlan:  # fmt: skip
    """`tags` go by the key of the cache; `since` is in milliseconds. Without the whole history all of them stay."""
    plan = SnapshotPlan(sum(map(len, tags.values())))
    old = {tag for every in tags.values() for tag in every if _stamp(tag) < since}
    if not old or repository.shallow:
        return plan
    lines = _Lines(repository)
    for key, every in tags.items():
        if old.isdisjoint(every):
            continue
        newest_first = sorted(every, key=_stamp, reverse=True)
        found = [one for one in pool.map(lambda tag, key=key: _look(store, tag, key), newest_first) if one]
        needed = {tag for ref in refs for tag in lines.begins_with(ref, found)}
        for one in found:
            if one.tag in old and one.tag not in needed and one.record and one.record.project == project:
                plan.deletions.append(Deletion(one.tag, {one.digest: (one.tag,)}))
                plan.kept -= 1
    return plan


class _Lines:
    """What is in the history of each ref."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._of = cache(self._history)

    def begins_with(self, ref: Ref, snapshots: Sequence[_Snapshot]) -> set[str]:
        """The snapshots that runs of this ref would begin with, of those of a cache, the newest first: its own and
        that of its history, for the branches that will begin here."""
        visible = [one for one in snapshots if one.record and self._is_visible(ref.commit, one.record)]
        own = [one for one in visible if one.record and one.record.branch == ref.name]
        return {one.tag for one in (*visible[:1], *own[:1])}

    def _is_visible(self, tip: str, record: Record) -> bool:
        objects = self._of(tip)
        return record.tree in objects or all(commit in objects for commit in record.commits)

    def _history(self, tip: str) -> Collection[str]:
        return frozenset(text_of(self._repository.run("log", "--format=%H %T", tip)).split())


def _look(store: Store, tag: str, key: str) -> _Snapshot | None:
    index = store.manifest(tag)
    return _Snapshot(tag, index.digest, read_record(index, tag, key)) if index is not None else None


def _stamp(tag: str) -> int:
    parsed = parse_cache_tag(tag)
    return parsed[1] if parsed else 0
