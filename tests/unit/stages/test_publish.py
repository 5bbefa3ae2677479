"""Publishing by one run at a time; runs that meet are in tests/simulation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from lineal.clock import Time
from lineal.errors import MissingContent, Unreachable
from lineal.lock import Lock, NoLock
from lineal.lock.file import FileLocks
from lineal.oci.image import read_image
from lineal.oci.types import OCI_INDEX, Blob, Image, Manifest, sha256
from lineal.progress import Notes
from lineal.stages.candidate import Candidate
from lineal.stages.eligibility import Eligibility
from lineal.stages.lookup import Lookup
from lineal.stages.publish import LOOK, Publication, Publisher
from lineal.stages.visibility import HistoryPosition
from lineal.store.layout import Layout
from lineal.store.record import FILESYSTEM, Record, image_digest, record_manifest, record_parts
from lineal.store.tags import stage_tag
from tests.unit.stages.workbench import HERE, SUM, MemoryStore, Says, built, oid, put, record

THERE = HistoryPosition(oid("b"), oid("9"), "feature")


def publish(
    store: Any,
    text: str = "ours",
    line: HistoryPosition = HERE,
    history: Says | None = None,
    lock: Lock | None = None,
) -> Publication:
    """By a run whose timestamps end with 000, and whose time flies."""
    passed = [0.0]
    time = Time(lambda: 0.0, lambda: passed[0], lambda seconds: passed.append(passed.pop() + seconds))
    lookup = Lookup(store, Eligibility(store, line, history or Says()), time=time)
    try:
        mine = record(*line.recorded, tree=line.tree, branch=line.branch, created=0)
        return Publisher(store, lock or NoLock(), lookup, 0).publish(built(text), mine)
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
            assert len(store.blobs) == 3 and len(store.manifests) >= 2

    store.before = check
    done = publish(store, "whole")
    image = read_image(store, image_digest(done.candidate.index), "linux/amd64")
    assert image.config_json["config"] == {"Labels": {"text": "whole"}}
    parts = record_parts(store, done.candidate.index)
    assert parts[FILESYSTEM].read(store, 100) == b"index of whole"


def test_what_every_record_needs_is_put_once_and_again_when_it_is_lost() -> None:
    class Checking(MemoryStore):
        """Knows what a manifest refers to, as a registry does."""

        puts: list[str]

        def put_blob(self, blob: Blob) -> None:
            self.puts.append(blob.digest)
            super().put_blob(blob)

        def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
            for digest in () if manifest.is_index else manifest.references:
                if digest not in self.blobs:
                    raise MissingContent(digest, self.address)
            super().put_manifest(manifest, tag)

    store = Checking()
    store.puts = []
    lookup = Lookup(store, Eligibility(store, HERE, Says()))
    publisher = Publisher(store, NoLock(), lookup, 0)
    other, third = "5b" * 32, "5c" * 32
    publisher.publish(built("one"), record(created=0))
    constant = set(store.puts) - {sha256(built("one").image.config)}
    store.puts.clear()
    publisher.publish(built("two"), record(checksum=other, created=0))
    assert store.puts == [sha256(built("two").image.config)] and len(constant) == 2
    for digest in constant:
        del store.blobs[digest]
    assert publisher.publish(built("three"), record(checksum=third, created=0)).outcome == "published"
    assert constant <= set(store.blobs)
    lookup.close()


def test_the_record_is_sent_while_the_image_is_on_its_way() -> None:
    class Slow(MemoryStore):
        beside: int

        def put_image(self, image: Image) -> None:
            self.beside = len(self.manifests)
            super().put_image(image)

    store = Slow()
    publish(store)
    assert store.beside == 1


@pytest.mark.parametrize("locked", [False, True])
def test_it_looks_around_beside_the_last_request_of_the_image_but_not_before_it_has_a_lock(locked: bool) -> None:
    story = []

    class Slow(MemoryStore):
        def await_blobs(self, image: Image) -> None:
            story.append("blobs are there")

        def put_image(self, image: Image) -> None:
            story.append("image")
            super().put_image(image)

    class Locked:
        name = "service"

        @contextmanager
        def hold(self, checksum: str) -> Iterator[bool]:
            story.append("lock")
            yield True

    store = Slow(before=lambda what: story.append("look") if what == "digest" else None)
    publish(store, lock=Locked() if locked else None)
    assert story == (["blobs are there", "image", "lock", "look"] if locked else ["blobs are there", "look", "image"])


def test_what_was_seen_before_a_slow_image_is_looked_at_again() -> None:
    class Slow(MemoryStore):
        def put_image(self, image: Image) -> None:
            super().put_image(image)
            passed[0] += LOOK + 1

    passed, store = [0.0], Slow()
    time = Time(lambda: 0.0, lambda: passed[0], lambda seconds: None)
    lookup = Lookup(store, Eligibility(store, HERE, Says()), time=time)
    assert Publisher(store, NoLock(), lookup, 0).publish(built("ours"), record(created=0)).outcome == "published"
    assert store.asked.count(f"manifest {SUM}") == 2
    lookup.close()


def test_a_machine_that_stood_still_looks_again_for_each_stage_that_it_was_publishing() -> None:
    def wake() -> None:
        passed[0] += LOOK + 1

    class Still(MemoryStore):
        def put_image(self, image: Image) -> None:
            super().put_image(image)
            still.wait(60)

    passed, store, checksums = [0.0], Still(), [f"{number:064x}" for number in range(6)]
    still = Barrier(len(checksums), wake)
    time = Time(lambda: 0.0, lambda: passed[0], lambda seconds: None)
    lookup = Lookup(store, Eligibility(store, HERE, Says()), time=time)
    publisher = Publisher(store, NoLock(), lookup, 0)
    with ThreadPoolExecutor(len(checksums)) as pool:
        list(pool.map(lambda one: publisher.publish(built(one), record(checksum=one, created=0)), checksums))
    assert {store.asked.count(f"manifest {one}") for one in checksums} == {2}
    lookup.close()


def test_a_record_that_was_foreseen_is_put_once_and_before_its_turn() -> None:
    class Counting(MemoryStore):
        puts: list[str]

        def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
            self.puts.append(tag or manifest.digest)
            super().put_manifest(manifest, tag)

    store = Counting()
    store.puts = []
    lookup = Lookup(store, Eligibility(store, HERE, Says()))
    publisher = Publisher(store, NoLock(), lookup, 0)
    child = built("child"), record(checksum="5b" * 32, created=0)
    tags: list[dict[str, str]] = []

    def claimed(_: Candidate) -> None:
        tags.append(dict(store.tagged))
        publisher.foresee(*child)

    publisher.publish(built("parent"), record(created=0), claimed)
    assert len(tags) == 1 and SUM not in tags[0], "it is told before the election"
    lookup.pool.shutdown()
    lookup.pool = ThreadPoolExecutor(2)
    store.puts.clear()
    done = publisher.publish(*child)
    assert done.outcome == "published"
    assert record_manifest(store, done.candidate.index).digest not in store.puts
    lookup.close()


def test_the_anchor_and_its_own_tag_are_looked_at_side_by_side() -> None:
    together = Barrier(2)

    def wait(what: str) -> None:
        if what in ("manifest", "digest"):
            together.wait(30)

    store = MemoryStore(before=wait)
    assert publish(store).outcome == "published"


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
    assert ours.candidate.record.created == theirs.candidate.record.created + 1000


@pytest.mark.parametrize("offset", [-10_000_000, 0, 10_000_000])
def test_a_timestamp_is_above_all_that_were_seen_whatever_the_clock_says(offset: int) -> None:
    store = MemoryStore()
    put(store, record(oid("b"), created=store.clock), "hidden", anchor=True)
    newest = store.clock + 1_000
    put(store, record(oid("b"), created=newest), "hidden, too")
    store.clock += offset
    created = publish(store).candidate.record.created
    assert 0 <= created - max(store.clock, newest + 1) < 1000
    assert created % 1000 == 0, "the run's own digits"


def test_a_taken_tag_is_left_to_whoever_took_it() -> None:
    store = MemoryStore()
    taken = put(store, record(oid("b"), created=store.clock, branch="lineal-dev/x"), "somebody's working tree")
    done = publish(store)
    assert (done.outcome, done.candidate.tag) == ("published", stage_tag(SUM, store.clock + 1000))
    assert store.tagged[stage_tag(SUM, store.clock)] == taken.digest


@pytest.mark.parametrize("age", [0, 3_600_000])
def test_what_a_killed_run_left_without_an_anchor_gets_it_and_is_used(age: int) -> None:
    store = MemoryStore()
    left = put(store, record(created=store.clock - age), "a run was killed between its two tags")
    done = publish(store)
    assert (done.outcome, done.candidate.digest) == ("adopted", left.digest)
    assert store.tagged[SUM] == left.digest


def test_another_line_gets_the_anchor_of_a_killed_run_and_each_keeps_its_own() -> None:
    store = MemoryStore()
    left = put(store, record(oid("b"), created=store.clock), "of a branch that we do not see")
    done = publish(store)
    assert (done.outcome, store.tagged[SUM]) == ("published", left.digest)
    assert publish(store, "again").candidate.digest == done.candidate.digest


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("which", [SUM, stage_tag(SUM, 1_700_000_000_000)])
def test_a_lost_answer_is_looked_after(which: str, applied: bool) -> None:
    store = MemoryStore()
    real = store.try_tag
    lost: list[str] = []

    def lose_once(manifest: Manifest, tag: str) -> bool:
        if tag != which or lost:
            return real(manifest, tag)
        lost.append(tag)
        if applied:
            real(manifest, tag)
        return False

    store.try_tag = lose_once  # type: ignore[method-assign]
    done = publish(store)
    assert lost and done.outcome == "published"
    assert store.tagged == {SUM: done.candidate.digest, done.candidate.tag: done.candidate.digest}


def test_a_registry_that_takes_no_tag_ends_the_run_with_one_sentence() -> None:
    store = MemoryStore()
    store.try_tag = lambda manifest, tag: False  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="did not take a tag"):
        publish(store)


def test_processes_of_one_machine_end_their_timestamps_differently() -> None:
    command = [sys.executable, "-c", "from lineal.stages.publish import own_digits; print(own_digits())"]
    said = {subprocess.run(command, check=True, capture_output=True).stdout for _ in range(4)}
    assert len(said) == 4


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
    dev = HistoryPosition(oid("c"), oid("d"), "lineal-dev/mine")
    first = publish(store, "first", dev)
    assert (first.outcome, set(store.tagged)) == ("published", {first.candidate.tag})
    assert publish(store, "second", dev).candidate.digest == first.candidate.digest
    ours = publish(store, "ours")
    assert (ours.outcome, store.tagged[SUM]) == ("published", ours.candidate.digest)


def test_a_layout_behaves_the_same(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    lock = FileLocks(tmp_path / "locks", Notes(pytest.fail, pytest.fail))
    first = publish(store, "first", lock=lock)
    second = publish(store, "second", THERE, lock=lock)
    third = publish(store, "third", lock=lock)
    assert [done.outcome for done in (first, second, third)] == ["published", "published", "adopted"]
    assert store.digest(SUM) == first.candidate.digest == third.candidate.digest
    assert second.candidate.record.created > first.candidate.record.created


def test_a_record_says_nothing_about_who_lost() -> None:
    store = MemoryStore()
    publish(store, "first")
    second = publish(store, "second")
    assert Record.read(second.candidate.index) == second.candidate.record


class Repository:
    """A run that publishes several stages, at times that the test says."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.seconds = 0.0
        time = Time(lambda: 0.0, lambda: self.seconds, lambda seconds: None)
        self.lookup = Lookup(self.store, Eligibility(self.store, HERE, Says()), time=time)
        self.publisher = Publisher(self.store, NoLock(), self.lookup, 0)

    def publish(self, checksum: str) -> tuple[Publication, list[str]]:
        """With what was asked of the store for the tags."""
        self.store.asked.clear()
        done = self.publisher.publish(built(checksum), record(checksum=checksum, created=0))
        asked = [what for what in self.store.asked if "sha256:" not in what and what != "now"]
        return done, [what.replace(checksum, "it") for what in asked]


OTHER = "5b" * 32


def test_alone_on_a_list_of_moments_ago_a_stage_costs_two_tags_and_a_list() -> None:
    run = Repository()
    first, asked = run.publish(SUM)
    own = first.candidate.tag.replace(SUM, "it")
    assert sorted(asked[:2]) == [f"digest {own}", "manifest it"], "nothing is known yet"
    done, asked = run.publish(OTHER)
    assert done.outcome == "published"
    assert asked == [f"put {done.candidate.tag.replace(OTHER, 'it')}", "tags", "put it"]
    run.lookup.close()


def test_a_list_that_is_older_says_nothing() -> None:
    run = Repository()
    run.publish(SUM)
    run.seconds += 1
    assert "manifest it" in run.publish(OTHER)[1][:2]
    run.lookup.close()


def test_what_came_after_the_list_is_adopted_all_the_same() -> None:
    run = Repository()
    run.publish(SUM)
    theirs = put(run.store, record(checksum=OTHER, created=run.store.clock - 5), "theirs", anchor=True)
    done, _ = run.publish(OTHER)
    assert (done.outcome, done.candidate.digest) == ("adopted", theirs.digest)
    run.lookup.close()


def test_a_tag_of_the_same_name_by_another_run_is_not_taken_for_its_own() -> None:
    run = Repository()
    run.publish(SUM)
    theirs = put(run.store, record(checksum=OTHER, created=run.store.clock), "theirs", anchor=True)
    done, _ = run.publish(OTHER)
    assert (done.outcome, done.candidate.digest) == ("adopted", theirs.digest)
    run.lookup.close()
