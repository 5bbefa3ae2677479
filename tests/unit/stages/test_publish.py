"""Publishing: no tag ever moves, timestamps only grow, and of several runs one wins for all."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.errors import Unreachable
from lineal.lock import Lock, NoLock
from lineal.lock.file import LockFiles
from lineal.stages.lookup import Lookup
from lineal.stages.publish import Publication, Publisher
from lineal.stages.visibility import Line
from lineal.store import OCI_INDEX, Manifest
from lineal.store.layout import Layout
from lineal.store.manifest import FILESYSTEM, Record, image_digest, read_image, record_descriptors
from lineal.store.tags import stage_tag
from tests.unit.stages.workbench import HERE, SUM, MemoryStore, Says, built, oid, put, record

THERE = Line(oid("b"), oid("9"), "feature")


def publish(
    store: Any, text: str = "ours", line: Line = HERE, history: Says | None = None, lock: Lock | None = None
) -> Publication:
    lookup = Lookup(store, line, history or Says())
    try:
        mine = record(*line.recorded, tree=line.tree, branch=line.branch, created=0)
        return Publisher(store, lock or NoLock(), lookup).publish(built(text), mine)
    finally:
        lookup.close()


def test_the_first_publication_gets_both_tags_at_the_store_s_time() -> None:
    store = MemoryStore()
    done = publish(store)
    assert done.outcome == "published"
    assert done.candidate.record.created == store.clock
    assert store.tagged == {SUM: done.candidate.digest, stage_tag(SUM, store.clock): done.candidate.digest}


def test_everything_a_tag_leads_to_is_there_before_the_tag() -> None:
    store = MemoryStore()

    def check(what: str) -> None:
        if what == "put":
            assert len(store.blobs) == 4 and len(store.manifests) >= 2

    store.before = check
    done = publish(store, "whole")
    image = read_image(store, image_digest(done.candidate.index), "linux/amd64")
    assert image.config_json["config"] == {"Labels": {"text": "whole"}}
    parts = record_descriptors(store, done.candidate.index)
    assert b"".join(store.blob(parts[FILESYSTEM].digest)) == b"index of whole"


def test_what_is_visible_already_is_adopted_and_no_tag_is_made() -> None:
    store = MemoryStore()
    first = publish(store, "first")
    tags = dict(store.tagged)
    second = publish(store, "second")
    assert second.outcome == "adopted"
    assert second.candidate.digest == first.candidate.digest
    assert store.tagged == tags


def test_a_hidden_publication_keeps_its_anchor_and_a_new_tag_stands_beside_it() -> None:
    store = MemoryStore()
    theirs = publish(store, "theirs", THERE)
    ours = publish(store, "ours")
    assert ours.outcome == "published"
    assert store.tagged[SUM] == theirs.candidate.digest
    assert ours.candidate.record.created == theirs.candidate.record.created + 1


@pytest.mark.parametrize("offset", [-10_000_000, 0, 10_000_000])
def test_a_timestamp_is_above_all_that_were_seen_whatever_the_clock_says(offset: int) -> None:
    store = MemoryStore()
    put(store, record(oid("b"), created=store.clock), "hidden", anchor=True)
    newest = store.clock + 1_000
    put(store, record(oid("b"), created=newest), "hidden, too")
    store.clock += offset
    created = publish(store).candidate.record.created
    assert created == max(store.clock, newest + 1)


def test_a_taken_millisecond_is_left_to_whoever_took_it() -> None:
    store = MemoryStore()
    put(store, record(created=store.clock), "a tag without its anchor: a run was killed between them")
    done = publish(store)
    assert done.outcome == "published"
    assert done.candidate.tag == stage_tag(SUM, store.clock + 1)


def test_the_same_run_twice_makes_one_publication() -> None:
    store = MemoryStore()
    assert publish(store).candidate.digest == publish(store).candidate.digest
    assert len(store.tagged) == 2


def test_an_anchor_whose_image_is_gone_is_not_moved() -> None:
    store = MemoryStore()
    gone = put(store, record(created=store.clock), "gone", anchor=True)
    del store.manifests[image_digest(gone)]
    done = publish(store, "again")
    assert done.outcome == "published"
    assert store.tagged[SUM] == gone.digest
    assert done.candidate.record.created > store.clock
    assert publish(store, "third").candidate.digest == done.candidate.digest


def test_garbage_under_the_anchor_is_not_moved_either() -> None:
    store = MemoryStore()
    garbage = Manifest(b'{"manifests":[]}', OCI_INDEX)
    store.put_manifest(garbage, SUM)
    done = publish(store)
    assert (done.outcome, store.tagged[SUM]) == ("published", garbage.digest)


def test_a_tag_from_the_end_of_time_is_named_and_ends_the_run_with_one_sentence() -> None:
    store = MemoryStore()
    put(store, record(oid("b"), created=10**13 - 1), "hidden", anchor=True)
    with pytest.raises(Unreachable, match="no later one can follow"):
        publish(store)


def test_a_working_tree_makes_no_anchor_and_finds_its_own_again() -> None:
    store = MemoryStore()
    dev = Line(oid("c"), oid("d"), "lineal-dev/mine")
    first = publish(store, "first", dev)
    assert (first.outcome, set(store.tagged)) == ("published", {first.candidate.tag})
    assert publish(store, "second", dev).candidate.digest == first.candidate.digest
    ours = publish(store, "ours")
    assert (ours.outcome, store.tagged[SUM]) == ("published", ours.candidate.digest)


def test_a_layout_behaves_the_same(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    lock = LockFiles(tmp_path / "locks", pytest.fail)
    first = publish(store, "first", lock=lock)
    second = publish(store, "second", THERE, lock=lock)
    third = publish(store, "third", lock=lock)
    assert [done.outcome for done in (first, second, third)] == ["published", "published", "adopted"]
    assert store.digest(SUM) == first.candidate.digest == third.candidate.digest
    assert second.candidate.record.created > first.candidate.record.created


# --- races ------------------------------------------------------------------------------------------------------


class Race:
    """Runs publishers one request at a time, in the order that a schedule says; deterministic."""

    def __init__(self, store: MemoryStore, runs: Sequence[Callable[[MemoryStore], Publication]]) -> None:
        self.results: list[Publication | BaseException | None] = [None] * len(runs)
        self._turn = threading.Condition()
        self._allowed = -1
        self._parked = [False] * len(runs)
        self._over = [False] * len(runs)
        self._queues = [threading.Lock() for _ in runs]
        self._threads = [threading.Thread(target=self._run, args=(n, store, run)) for n, run in enumerate(runs)]

    def _run(self, number: int, store: MemoryStore, run: Callable[[MemoryStore], Publication]) -> None:
        view = MemoryStore(immutable=store.immutable, before=lambda _: self._gate(number))
        view.blobs, view.tagged, view.manifests, view.moved = store.blobs, store.tagged, store.manifests, store.moved
        view.clock, view._guard = store.clock, store._guard
        try:
            self.results[number] = run(view)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.results[number] = error
        with self._turn:
            self._over[number] = True
            self._turn.notify_all()

    def _gate(self, number: int) -> None:
        # A listing's reads go out together; each waits for its own turn.
        with self._queues[number], self._turn:
            self._parked[number] = True
            self._turn.notify_all()
            assert self._turn.wait_for(lambda: self._allowed == number, 20)
            self._allowed = -1
            self._parked[number] = False

    def go(self, schedule: Sequence[int]) -> list[Publication]:
        for thread in self._threads:
            thread.start()
        for number in itertools.chain(schedule, itertools.cycle(range(len(self._threads)))):
            with self._turn:
                assert self._turn.wait_for(lambda: all(map(self._at_rest, range(len(self._over)))), 20)
                if all(self._over):
                    break
                if not self._over[number]:
                    self._allowed = number
                    self._turn.notify_all()
                    assert self._turn.wait_for(lambda: self._allowed == -1, 20)
        for thread in self._threads:
            thread.join(20)
        for result in self.results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in self.results if isinstance(result, Publication)]

    def _at_rest(self, number: int) -> bool:
        return self._parked[number] or self._over[number]


BOTH = Says([oid("b"), oid("c")])
PREEMPTIONS = [[first] * n + [1 - first] * m + [first] * 30 for first in (0, 1) for n in range(9) for m in range(9)]


def race(store: MemoryStore, schedule: Sequence[int], *lines: Line, history: Says = BOTH) -> list[Publication]:
    def run(text: str, line: Line) -> Callable[[MemoryStore], Publication]:
        return lambda view: publish(view, text, line, history)

    return Race(store, [run(f"made by {number}", line) for number, line in enumerate(lines)]).go(schedule)


def settled(store: MemoryStore, line: Line, history: Says) -> str:
    lookup = Lookup(store, line, history)
    try:
        candidate = lookup.find([SUM])[SUM].candidate
    finally:
        lookup.close()
    assert candidate is not None
    return candidate.digest


def test_two_runs_that_see_each_other_agree_wherever_one_interrupts_the_other() -> None:
    for schedule in PREEMPTIONS:
        store = MemoryStore()
        one, other = race(store, schedule, HERE, THERE)
        assert one.candidate.digest == other.candidate.digest, schedule
        assert settled(store, HERE, BOTH) == one.candidate.digest, schedule
        assert {"published"} <= {one.outcome, other.outcome}, schedule
        assert store.moved == []


def test_two_runs_that_cannot_see_each_other_both_keep_their_own() -> None:
    nobody = Says()
    for schedule in PREEMPTIONS:
        store = MemoryStore()
        one, other = race(store, schedule, HERE, THERE, history=nobody)
        assert (one.outcome, other.outcome) == ("published", "published"), schedule
        assert one.candidate.tag != other.candidate.tag, schedule
        assert settled(store, HERE, nobody) == one.candidate.digest, schedule
        assert settled(store, THERE, nobody) == other.candidate.digest, schedule


@given(schedule=st.lists(st.integers(0, 2), max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_three_runs_agree_in_any_order(schedule: list[int]) -> None:
    store = MemoryStore()
    lines = (HERE, THERE, Line(oid("a"), oid("8"), "third"))
    done = race(store, schedule, *lines, history=Says([line.commit for line in lines]))
    assert len({one.candidate.digest for one in done}) == 1
    assert len([one for one in done if one.outcome == "published"]) == 1


def test_every_tag_names_a_whole_stage_whatever_the_order_in_a_registry_that_lets_tags_move() -> None:
    """Without a lock and without If-None-Match two first publications can meet at the anchor; nothing else can."""
    for schedule in PREEMPTIONS:
        store = MemoryStore(immutable=False)
        store.clock += 1
        done = race(store, schedule, HERE, THERE)
        assert set(store.moved) <= {SUM, stage_tag(SUM, store.clock)}, schedule
        winner = settled(store, HERE, BOTH)
        assert winner in {one.candidate.digest for one in done}, schedule


def test_a_record_says_nothing_about_who_lost() -> None:
    store = MemoryStore()
    publish(store, "first")
    second = publish(store, "second")
    assert Record.read(second.candidate.index) == second.candidate.record


# --- the last look --------------------------------------------------------------------------------------------------


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("lineal.stages.publish.time.sleep", slept.append)
    return slept


def publisher(store: MemoryStore, lock: Lock) -> Publisher:
    return Publisher(store, lock, Lookup(store, HERE, BOTH))


def test_the_last_look_finds_who_wrote_the_anchor_after_us(naps: list[float]) -> None:
    store = MemoryStore(immutable=False)
    run = publisher(store, NoLock())
    ours = run.publish(built("ours"), record(*HERE.recorded, created=0)).candidate
    theirs = put(store, record(oid("b"), created=ours.record.created + 1), "theirs", anchor=True)
    winners = run.settle({SUM: ours})
    assert {checksum: winner.digest for checksum, winner in winners.items()} == {SUM: theirs.digest}
    assert naps, "whoever was that close must have time to write"


def test_the_last_look_changes_nothing_where_nobody_interfered(naps: list[float]) -> None:
    store = MemoryStore()
    run = publisher(store, NoLock())
    ours = run.publish(built("ours"), record(*HERE.recorded, created=0)).candidate
    assert run.settle({SUM: ours}) == {}


def test_under_a_lock_there_is_no_last_look(naps: list[float], tmp_path: Path) -> None:
    store = MemoryStore()
    run = publisher(store, LockFiles(tmp_path, lambda _: None))
    ours = run.publish(built("ours"), record(*HERE.recorded, created=0)).candidate
    store.asked.clear()
    assert run.settle({SUM: ours}) == {}
    assert (naps, store.asked) == ([], [])
