"""Who stays and who goes, for any store; and that a deletion that is interrupted anywhere leaves a valid one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.cleanup.retention import DAY, NEEDED, RetentionPlan, Tags, delete, plan_retention, recheck
from lineal.oci.types import Blob
from lineal.store.record import Record, record_documents, stage_index
from lineal.store.tags import open_anchor_tag, parse_stage_tag, stage_tag
from tests.unit.stages.workbench import MemoryStore, built, oid

SUMS = [letter * 64 for letter in "0123456789"]
NOW = 1_700_000_000_000
SINCE = NOW - 30 * DAY


def publish(store: MemoryStore, checksum: str, created: int, parent: str = "", *, anchor: bool, project: str) -> str:
    """As Lineal does it; gives the digest."""
    record = Record(checksum, (oid("c"),), oid("d"), "main", created, parent, project, "1")
    image = built(checksum)
    blobs, beside = record_documents(record, image.inputs, image.filesystem, image.image.manifest.digest)
    for blob in (Blob.of(image.image.config), *blobs):
        store.put_blob(blob)
    index = stage_index(image.image, beside, record, image.platform)
    for manifest in (image.image.manifest, beside):
        store.put_manifest(manifest)
    store.put_manifest(index, stage_tag(checksum, created))
    if anchor:
        store.put_manifest(index, checksum)
    return index.digest


@dataclass
class Stage:
    """A checksum of a generated store; `parent` is an earlier one. Ages in days, the first has the anchor."""

    ages: list[int]
    parent: int | None
    wanted: bool
    used: bool
    tagged: bool
    project: str
    digests: list[str] = field(default_factory=list)


STAGE = st.builds(
    Stage,
    ages=st.lists(st.integers(0, 90), min_size=1, max_size=3, unique=True).map(
        lambda ages: sorted(ages, reverse=True)
    ),
    parent=st.none() | st.integers(0, 9),
    wanted=st.booleans(),
    used=st.booleans(),
    tagged=st.booleans(),
    project=st.sampled_from(["shop", "shop", "shop", "other"]),
)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(4) as running:
        yield running


def filled(stages: list[Stage]) -> MemoryStore:
    store = MemoryStore()
    for number, stage in enumerate(stages):
        parent = SUMS[stage.parent] if stage.parent is not None and stage.parent < number else ""
        stage.parent = stage.parent if parent else None
        stage.digests = [
            publish(store, SUMS[number], NOW - age * DAY - 1, parent, anchor=place == 0, project=stage.project)
            for place, age in enumerate(stage.ages)
        ]
        if stage.tagged:
            store.put_manifest(store.manifests[stage.digests[-1]], f"v{number}")
    # What a head wants comes with all that it is made from.
    for number in reversed(range(len(stages))):
        parent_number = stages[number].parent
        if stages[number].wanted and parent_number is not None:
            stages[parent_number].wanted = True
    return store


def decide(store: MemoryStore, stages: list[Stage], pool: Executor) -> tuple[Tags, RetentionPlan]:
    tags = Tags.of(store.tags())
    wanted = {SUMS[number] for number, stage in enumerate(stages) if stage.wanted}
    used = {stage.digests[0] for stage in stages if stage.used}
    return tags, plan_retention(store, tags, tags.young(SINCE), wanted, used, "shop", SINCE, pool)


@settings(deadline=None)
@given(stages=st.lists(STAGE, max_size=10))
def test_a_checksum_stays_whole_or_goes_whole(stages: list[Stage], pool: Executor) -> None:
    stages = [replace(stage) for stage in stages]
    store = filled(stages)
    before = dict(store.tagged)
    tags, plan = decide(store, stages, pool)
    stays = {
        number
        for number, stage in enumerate(stages)
        if stage.wanted or stage.used or stage.tagged or stage.project != "shop" or min(stage.ages) < 30
    }
    for number in reversed(range(len(stages))):
        parent = stages[number].parent
        if number in stays and parent is not None:
            stays.add(parent)
    assert {SUMS[number] for number in stays} == set(plan.kept)
    for one in recheck(store, tags, plan.deletions, pool):
        delete(store, one)
    assert store.tagged == {
        tag: digest for tag, digest in before.items() if tag.startswith("v") or tag[:64] in plan.kept
    }
    assert all(store.manifests[digest] for digest in store.tagged.values())


OLD = st.lists(st.integers(40, 90), min_size=1, max_size=4, unique=True).map(lambda ages: sorted(ages, reverse=True))


@settings(deadline=None)
@given(ages=st.lists(OLD, min_size=1, max_size=3), stop=st.integers(0, 12))
def test_what_an_interrupted_deletion_leaves_has_its_anchor(ages: list[list[int]], stop: int, pool: Executor) -> None:
    """Every stage tag that is left belongs to a checksum whose anchor leads somewhere."""
    stages = [Stage(some, None, wanted=False, used=False, tagged=False, project="shop") for some in ages]
    store = filled(stages)
    _, plan = decide(store, stages, pool)
    assert len(plan.deletions) == len(stages)
    for digest in [digest for one in plan.deletions for digest in one.digests][:stop]:
        store.delete(digest)
    left = {parsed[0] for tag in store.tagged if (parsed := parse_stage_tag(tag))}
    assert left <= store.tagged.keys()
    assert set(store.tagged.values()) <= store.manifests.keys()


def test_nothing_is_read_when_nothing_could_go(pool: Executor) -> None:
    store = MemoryStore()
    publish(store, SUMS[0], NOW, anchor=True, project="shop")
    publish(store, SUMS[1], 5, anchor=True, project="shop")
    store.asked.clear()
    tags = Tags.of(store.tags())
    plan_retention(store, tags, tags.young(SINCE), {SUMS[1]}, (), "shop", SINCE, pool)
    assert store.asked == ["tags"]


def test_an_old_stage_that_a_young_one_was_made_from_stays(pool: Executor) -> None:
    store = MemoryStore()
    publish(store, SUMS[0], 5, anchor=True, project="shop")
    publish(store, SUMS[1], 6, SUMS[0], anchor=True, project="shop")
    publish(store, SUMS[2], NOW, SUMS[1], anchor=True, project="shop")
    publish(store, SUMS[3], 7, anchor=True, project="shop")
    tags = Tags.of(store.tags())
    plan = plan_retention(store, tags, tags.young(SINCE), (), (), "shop", SINCE, pool)
    assert plan.count(NEEDED) == 2
    assert [one.checksum for one in plan.deletions] == [SUMS[3]]


def test_a_tag_that_leads_to_something_else_is_not_followed(pool: Executor) -> None:
    """A stage tag that somebody has pointed at another checksum's stage: deleting that digest would delete both."""
    store = MemoryStore()
    digest = publish(store, SUMS[0], 5, anchor=True, project="shop")
    store.put_manifest(store.manifests[digest], stage_tag(SUMS[1], 5))
    tags = Tags.of(store.tags())
    plan = plan_retention(store, tags, (), {SUMS[0]}, (), "shop", SINCE, pool)
    assert plan.deletions == []


def test_what_is_published_or_tagged_since_the_list_stays(pool: Executor) -> None:
    store = MemoryStore()
    digests = [publish(store, SUMS[number], 5, anchor=True, project="shop") for number in range(3)]
    tags = Tags.of(store.tags())
    plan = plan_retention(store, tags, tags.young(SINCE), (), (), "shop", SINCE, pool)
    assert len(plan.deletions) == 3
    publish(store, SUMS[0], NOW, anchor=False, project="shop")
    store.put_manifest(store.manifests[digests[1]], "stable")
    assert [one.checksum for one in recheck(store, tags, plan.deletions, pool)] == [SUMS[2]]


def test_both_anchors_of_a_checksum_go_with_it(pool: Executor) -> None:
    store = MemoryStore()
    publish(store, SUMS[0], 5, anchor=True, project="shop")
    store.tagged[open_anchor_tag(SUMS[0])] = store.tagged[SUMS[0]]
    tags = Tags.of(store.tagged)
    assert set(tags.ours[SUMS[0]]) == set(store.tagged) and not tags.others
    (gone,) = plan_retention(store, tags, (), (), (), "shop", SINCE, pool).deletions
    assert set(gone.tags) == set(store.tagged)
    delete(store, gone)
    assert not store.tagged, "no anchor is left that leads to nothing"
