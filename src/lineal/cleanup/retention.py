"""Every checksum of a store, and why it stays. One decision for all publications of a checksum: a later one never
stays without the first, which the anchor belongs to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from lineal.oci import Store
from lineal.store.record import Record, read_stage
from lineal.store.tags import is_checksum, parse_stage_tag

DAY = 24 * 3600 * 1000
YOUNG, WANTED, USED, TAGGED, FOREIGN, NEEDED = "young", "wanted", "used", "tagged", "foreign", "needed"


@dataclass(frozen=True, slots=True)
class Publication:
    """What a tag leads to. `record` is None for what Lineal did not publish under this name."""

    tag: str
    digest: str
    image: str = ""
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A checksum to delete: its tags, and the digests in the order in which they go, the anchor's last."""

    checksum: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Tags:
    """The tags of a store: `ours` by checksum, and others."""

    ours: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @staticmethod
    def of(names: Iterable[str]) -> Tags:
        tags = Tags()
        for name in sorted(names):
            parsed = parse_stage_tag(name)
            checksum = parsed[0] if parsed else name if is_checksum(name) else None
            if checksum is None:
                tags.others.append(name)
            else:
                tags.ours.setdefault(checksum, []).append(name)
        return tags

    def young(self, since: int) -> set[str]:
        """Checksums with a publication that is not older than `since` (ms)."""
        return {checksum for checksum, tags in self.ours.items() if any(_stamp(tag) >= since for tag in tags)}


@dataclass
class RetentionPlan:
    """Who stays (with a reason for each checksum) and who goes; `strangers` are other projects with stages here."""

    kept: dict[str, str]
    doomed: list[Deletion] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)

    def count(self, reason: str) -> int:
        return list(self.kept.values()).count(reason)


def plan_retention(
    store: Store, tags: Tags, young: Collection[str], wanted: Collection[str], used: Collection[str],
    project: str, since: int, pool: Executor,
) -> RetentionPlan:  # fmt: skip
    """Decide about every checksum. What is young or wanted is not read, unless others are candidates for deletion:
    then a young one says whom it needs."""
    census = RetentionPlan(
        {checksum: YOUNG if checksum in young else WANTED for checksum in {*young, *wanted} & tags.ours.keys()}
    )
    rest = sorted(tags.ours.keys() - census.kept.keys())
    if not rest:
        return census
    tagged = set(pool.map(store.digest, tags.others))
    asked = [(tag, checksum) for checksum in rest for tag in tags.ours[checksum]]
    parents = [(tags.ours[checksum][-1], checksum) for checksum in sorted(set(young) - set(wanted))]
    read = list(pool.map(lambda pair: look(store, *pair), [*asked, *parents]))
    by_checksum: dict[str, list[Publication]] = {}
    for (_, checksum), found in zip([*asked, *parents], read, strict=True):
        if found is not None:
            by_checksum.setdefault(checksum, []).append(found)
    for checksum in rest:
        reason = _reason(by_checksum.get(checksum, []), used, tagged, project, since)
        if reason is not None:
            census.kept[checksum] = reason
    _add_needed(census.kept, by_checksum)
    for checksum in rest:
        publications = by_checksum.get(checksum, [])
        if checksum not in census.kept and publications:
            tags_here = tuple(found.tag for found in publications)
            census.doomed.append(Deletion(checksum, tags_here, _order(checksum, publications)))
    records = [found.record for every in by_checksum.values() for found in every if found.record]
    census.strangers = {record.project for record in records} - {project}
    return census


def look(store: Store, tag: str, checksum: str) -> Publication | None:
    manifest = store.manifest(tag)
    if manifest is None:
        return None
    found = read_stage(manifest, tag, checksum)
    return Publication(tag, manifest.digest, found[1], found[0]) if found else Publication(tag, manifest.digest)


def _reason(
    publications: Sequence[Publication], used: Collection[str], tagged: Collection[str | None], project: str,
    since: int,
) -> str | None:  # fmt: skip
    """Why a checksum stays that is neither young by its tags nor wanted; None when it does not."""
    records = [found.record for found in publications]
    if any(record is not None and record.created >= since for record in records):
        return YOUNG
    if any(name in used for found in publications for name in (found.tag, found.digest, found.image)):
        return USED
    if any(found.digest in tagged for found in publications):
        return TAGGED
    if any(record is None or record.project != project for record in records):
        return FOREIGN
    return None


def _add_needed(kept: dict[str, str], publications: Mapping[str, Sequence[Publication]]) -> None:
    """What those that stay were made from stays too, all the way down. (What is wanted came with its parents.)"""
    queue = list(kept)
    while queue:
        for found in publications.get(queue.pop(), ()):
            parent = found.record.parent if found.record else ""
            if parent in publications and parent not in kept:
                kept[parent] = NEEDED
                queue.append(parent)


def _order(checksum: str, publications: Sequence[Publication]) -> tuple[str, ...]:
    """Later publications first, and what the anchor points at last: so whatever is left is led to by its anchor."""
    anchored = {found.digest for found in publications if found.tag == checksum}
    latest = sorted(publications, key=lambda found: _stamp(found.tag), reverse=True)
    ordered = sorted(latest, key=lambda found: found.digest in anchored)
    return tuple(dict.fromkeys(found.digest for found in ordered))


def _stamp(tag: str) -> int:
    """0 for an anchor, which does not say when."""
    parsed = parse_stage_tag(tag)
    return parsed[1] if parsed else 0
