"""Decides which checksums of a store stay, and deletes the others.

There is one decision for all publications of a checksum: a later one never stays without the first, whose digest the
anchor has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from lineal.cleanup.unknown import Unknown, is_base
from lineal.oci import Store
from lineal.store.record import Record, read_stage
from lineal.store.tags import parse_anchor, parse_cache_tag, parse_claim, parse_stage_tag

NOTHING = Unknown()
DAY = 24 * 3600 * 1000
YOUNG, WANTED, USED, TAGGED, FOREIGN, NEEDED = "young", "wanted", "used", "tagged", "foreign", "needed"


@dataclass(frozen=True, slots=True)
class Publication:
    """The content of a tag. `record` is None when Lineal did not publish it under this name."""

    tag: str
    digest: str
    image: str = ""
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A checksum to delete: its digests in the order of their deletion, that of the anchor last, and their tags."""

    checksum: str
    digests: Mapping[str, tuple[str, ...]]

    @property
    def tags(self) -> list[str]:
        return [tag for tags in self.digests.values() for tag in tags]


@dataclass(frozen=True)
class Tags:
    """The tags of a store: those of stages by checksum (`ours`), claims of moving tags, snapshots of cache mounts by
    their key, and others."""

    ours: dict[str, list[str]] = field(default_factory=dict)
    claims: list[str] = field(default_factory=list)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    @staticmethod
    def of(names: Iterable[str]) -> Tags:
        tags = Tags()
        for name in sorted(names):
            parsed = parse_stage_tag(name)
            checksum = parsed[0] if parsed else parse_anchor(name)
            if parse_claim(name):
                tags.claims.append(name)
            elif (snapshot := parse_cache_tag(name)) is not None:
                tags.snapshots.setdefault(snapshot[0], []).append(name)
            elif checksum is None:
                tags.others.append(name)
            else:
                tags.ours.setdefault(checksum, []).append(name)
        return tags

    def young(self, since: int) -> set[str]:
        """Checksums with a publication that is not older than `since` (ms)."""
        return {checksum for checksum, tags in self.ours.items() if any(_stamp(tag) >= since for tag in tags)}


@dataclass
class RetentionPlan:
    """The decision about every checksum of a store."""

    kept: dict[str, str]
    """The reason of each checksum that stays."""
    deletions: list[Deletion] = field(default_factory=list)
    used: Collection[str] = ()
    """What clusters and bundles name."""
    other_projects: set[str] = field(default_factory=set)
    """The names of other projects with stages in this store."""

    def count(self, reason: str) -> int:
        return list(self.kept.values()).count(reason)


def plan_retention(
    store: Store, tags: Tags, young: Collection[str], wanted: Collection[str], used: Collection[str],
    project: str, since: int, pool: Executor, unknown: Unknown = NOTHING,
) -> RetentionPlan:  # fmt: skip
    """Decide about every checksum. `since` is in milliseconds; what may be `unknown` is wanted.

    Young and wanted checksums are kept unread. Only when something else may be deleted are the young ones read, for
    their parents."""
    plan = RetentionPlan(
        {checksum: YOUNG if checksum in young else WANTED for checksum in {*young, *wanted} & tags.ours.keys()},
        used=used,
    )
    rest = sorted(tags.ours.keys() - plan.kept.keys())
    if not rest:
        return plan
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
            plan.kept[checksum] = reason
    known = {one: [found.record for found in every if found.record] for one, every in by_checksum.items()}
    for checksum in unknown.stages(known, lambda one: is_base(store, by_checksum[one][-1].digest)):
        plan.kept.setdefault(checksum, WANTED)
    _add_needed(plan.kept, by_checksum)
    for checksum in rest:
        publications = by_checksum.get(checksum, [])
        if checksum not in plan.kept and publications:
            plan.deletions.append(Deletion(checksum, _order(publications)))
    records = [found.record for every in by_checksum.values() for found in every if found.record]
    plan.other_projects = {record.project for record in records} - {project}
    return plan


def recheck(store: Store, known: Tags, deletions: Sequence[Deletion], pool: Executor) -> list[Deletion]:
    """The deletions that are still right. A stage that another run publishes or tags at this moment stays."""
    if not deletions:
        return []
    now = Tags.of(store.tags())
    tagged = set(pool.map(store.digest, sorted(set(now.others) - set(known.others))))
    return [
        one for one in deletions
        if set(now.ours.get(one.checksum, ())) <= set(known.ours[one.checksum]) and tagged.isdisjoint(one.digests)
    ]  # fmt: skip


def delete(store: Store, one: Deletion) -> Deletion:
    store.delete_all(one.digests)
    return one


def look(store: Store, tag: str, checksum: str) -> Publication | None:
    """The content of a tag of this checksum, None when the tag is gone."""
    manifest = store.manifest(tag)
    if manifest is None:
        return None
    found = read_stage(manifest, tag, checksum)
    return Publication(tag, manifest.digest, found[1], found[0]) if found else Publication(tag, manifest.digest)


def _reason(
    publications: Sequence[Publication], used: Collection[str], tagged: Collection[str | None], project: str,
    since: int,
) -> str | None:  # fmt: skip
    """The reason to keep a checksum that is neither young by its tags nor wanted; None when there is none."""
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
    """Keep the parents of the kept stages as well, down to the first. (Wanted checksums came with their parents.)"""
    queue = list(kept)
    while queue:
        for found in publications.get(queue.pop(), ()):
            parent = found.record.parent if found.record else ""
            if parent in publications and parent not in kept:
                kept[parent] = NEEDED
                queue.append(parent)


def _order(publications: Sequence[Publication]) -> dict[str, tuple[str, ...]]:
    """The digests in the order of deletion: later publications first, that of the anchor last, and of its tags the
    anchor last. So an interrupted cleanup leaves the anchor on a publication that is still there."""
    anchored = {found.digest for found in publications if parse_anchor(found.tag)}
    latest = sorted(publications, key=lambda found: _stamp(found.tag), reverse=True)
    ordered = sorted(latest, key=lambda found: found.digest in anchored)
    return {one.digest: tuple(found.tag for found in ordered if found.digest == one.digest) for one in ordered}


def _stamp(tag: str) -> int:
    """The time of a stage tag in milliseconds; 0 for an anchor, which has none."""
    parsed = parse_stage_tag(tag)
    return parsed[1] if parsed else 0
