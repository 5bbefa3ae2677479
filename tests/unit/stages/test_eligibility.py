"""A run with a key in a store that strangers write to: what is selected, what it costs, and what stops nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lineal.clock import Time
from lineal.lock import NoLock
from lineal.oci.types import Manifest
from lineal.stages.eligibility import MOST, Eligibility
from lineal.stages.lane import CLOSED, OPEN, Lane
from lineal.stages.lookup import Lookup, Resolution
from lineal.stages.publish import Publisher
from lineal.store.record import Record, image_digest
from lineal.store.tags import LAST, anchor_tag, open_anchor_tag, stage_tag
from lineal.trust.judge import EVERYBODY, Judge
from lineal.trust.mark import UNMARKED, Marks, TrustKey
from tests.unit.stages.workbench import HERE, SUM, MemoryStore, Says, built, oid, put, record

T = 1_600_000_000_000
REPOSITORY = "registry.test/app"
MARKS = Marks([TrustKey(bytes(range(32)))])


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(immutable=False)


class Run:
    """One of this project: with the key, or without it."""

    def __init__(self, store: MemoryStore, *, keyed: bool = True, lane: Lane = CLOSED) -> None:
        self.said: list[str] = []
        self.keyed, self.store = keyed, store
        judge = Judge([MARKS], REPOSITORY) if keyed else EVERYBODY
        time = Time(sleep=lambda _: None)
        eligibility = Eligibility(store, HERE, Says(), judge, self.said.append)
        self.lookup = Lookup(store, eligibility, time=time, lane=lane)

    def mark(self, index: Manifest) -> Manifest:
        return MARKS.marked(index, REPOSITORY) if self.keyed else index

    def find(self) -> Resolution:
        return self.lookup.find([SUM])[SUM]

    def publish(self, text: str) -> str:
        publisher = Publisher(self.store, NoLock(), self.lookup, 7, self.mark)
        return publisher.publish(built(text), record(created=0)).candidate.tag


@pytest.fixture
def run(store: MemoryStore) -> Iterator[Callable[..., Run]]:
    made = []

    def make(**options: object) -> Run:
        made.append(Run(store, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.lookup.close()


def publish_marked(store: MemoryStore, found: Record, text: str, *, anchor: bool = False) -> Manifest:
    index = MARKS.marked(put(store, found, text), REPOSITORY)
    store.put_manifest(index, stage_tag(found.checksum, found.created))
    if anchor:
        store.put_manifest(index, anchor_tag(found.checksum))
    return index


def test_a_forged_anchor_hides_nothing_and_the_lowest_marked_timestamp_counts(
    store: MemoryStore, run: Callable[..., Run]
) -> None:
    put(store, record(created=T), "forged", anchor=True)
    put(store, record(created=1), "forged, and older than all")
    publish_marked(store, record(created=T + 30), "late")
    first = publish_marked(store, record(created=T + 20), "first")
    publish_marked(store, record(oid("b"), created=T + 10, branch="feature"), "of another line")
    found = run().find()
    assert found.candidate is not None and found.candidate.digest == first.digest
    assert found.newest == T + 30


def test_nothing_marked_is_a_miss_that_says_why(store: MemoryStore, run: Callable[..., Run]) -> None:
    put(store, record(created=T), anchor=True)
    found = run().find()
    assert (found.candidate, found.reason) == (None, f"hidden: {UNMARKED}")


def test_a_marked_anchor_costs_what_any_anchor_costs(store: MemoryStore, run: Callable[..., Run]) -> None:
    publish_marked(store, record(created=T), "ours", anchor=True)
    store.asked.clear()
    assert run().find().candidate is not None
    assert len(store.asked) == 2 and "tags" not in store.asked


def test_nobody_asks_for_the_image_of_a_stage_that_is_not_believed(
    store: MemoryStore, run: Callable[..., Run]
) -> None:
    forged = put(store, record(created=T), anchor=True)
    run().find()
    assert f"digest {image_digest(forged)}" not in store.asked


def test_ten_thousand_forged_tags_cost_a_bounded_number_of_requests_and_one_warning(
    store: MemoryStore, run: Callable[..., Run]
) -> None:
    forged = put(store, record(created=T), "forged", anchor=True)
    for number in range(10_000):
        store.tagged[stage_tag(SUM, T + number)] = forged.digest
    store.asked.clear()
    keyed = run()
    assert keyed.find().candidate is None
    assert len(store.asked) <= MOST + 3
    (said,) = keyed.said
    assert "10000 publications" in said and f"delete the tags that begin with {SUM}" in said
    # It publishes all the same, and the next run finds that behind all the forged ones.
    store.clock = T + 60_000
    tag = keyed.publish("ours")
    assert len(keyed.said) == 1
    store.asked.clear()
    found = run().find()
    assert found.candidate is not None and found.candidate.tag == tag
    assert len(store.asked) <= MOST + 4


def test_a_tag_from_the_end_of_time_stops_nobody_with_a_key(store: MemoryStore, run: Callable[..., Run]) -> None:
    put(store, record(created=LAST), "forged", anchor=True)
    tag = run().publish("ours")
    found = run().find()
    assert found.candidate is not None and found.candidate.tag == tag


def test_a_run_with_a_key_waits_for_no_claim_of_a_stranger(store: MemoryStore, run: Callable[..., Run]) -> None:
    put(store, record(created=store.clock - 1), "forged: it was there first")
    tag = run().publish("ours")
    assert store.tagged[anchor_tag(SUM)] == store.tagged[tag]


def test_stage_tags_that_strangers_took_in_advance_stop_nobody(store: MemoryStore, run: Callable[..., Run]) -> None:
    forged = put(store, record(created=T), "forged")
    for number in range(100):
        store.tagged[stage_tag(SUM, store.clock + 7 + number * 1000)] = forged.digest
    tag = run().publish("ours")
    assert store.tagged[anchor_tag(SUM)] == store.tagged[tag]


# --- lanes ------------------------------------------------------------------------------------------------------


def test_runs_without_the_key_have_anchors_of_their_own_and_use_both(
    store: MemoryStore, run: Callable[..., Run]
) -> None:
    opened = run(keyed=False, lane=OPEN)
    theirs = opened.publish("open")
    assert store.tagged[open_anchor_tag(SUM)] == store.tagged[theirs] and anchor_tag(SUM) not in store.tagged
    store.asked.clear()
    keyed = run()
    assert keyed.find().candidate is None
    assert store.asked == [f"manifest {SUM}"], "what branches publish costs a protected run nothing"
    ours = keyed.publish("ours")
    assert store.tagged[anchor_tag(SUM)] == store.tagged[ours] != store.tagged[theirs]
    first = run(keyed=False, lane=OPEN).find()
    assert first.candidate is not None and first.candidate.tag == theirs, "the branch stays with what it had"
    assert not store.moved


def test_a_branch_inherits_what_protected_runs_have_published(store: MemoryStore, run: Callable[..., Run]) -> None:
    ours = run().publish("ours")
    opened = run(keyed=False, lane=OPEN)
    found = opened.find()
    assert found.candidate is not None and found.candidate.tag == ours
    assert opened.publish("never") == ours and open_anchor_tag(SUM) not in store.tagged
