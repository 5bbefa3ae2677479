"""Moving tags: what moves, what is left alone, and the sentence for it. Runs that meet are in tests/simulation."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal.clock import Time
from lineal.errors import Unreachable
from lineal.git.history import GitHistory
from lineal.git.repository import Repository
from lineal.oci import Store
from lineal.oci.image import encode
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.publish.moving_tag import Move, MovingTags
from lineal.stages.visibility import HistoryPosition
from lineal.store.open import StoreOpener
from lineal.store.tags import parse_claim
from tests import servers
from tests.unit.stages.workbench import MemoryStore, Says, oid

A, B, C, D = (oid(letter) for letter in "abcd")
PAST = {A: "a", B: "ab", C: "abc", D: "ad"}
"""A line a, b, c, and d beside it."""


def image(content: str, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None,
          store: Store | None = None) -> Manifest:  # fmt: skip
    config = Blob.of(encode({"architecture": "amd64", "os": "linux", "config": {"Labels": dict(labels or {})},
                             "rootfs": {"type": "layers", "diff_ids": []}, "content": content}))  # fmt: skip
    if store is not None:
        store.put_blob(config)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [],
        "annotations": dict(annotations or {}),
    }
    return Manifest(encode(document), OCI_MANIFEST)


class Interrupted(MemoryStore):
    """Something happens once: after the list of tags has been read for the `number`th time, and before it arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def tags(self, prefix: str = "") -> list[str]:
        found = super().tags(prefix)
        self.number -= 1
        if self.number == 0:
            self.meanwhile()
        return found


class Place:
    """A store and a final repository in memory, and runs that come one after the other, a minute apart."""

    def __init__(self) -> None:
        self.store, self.final = Interrupted(), MemoryStore(immutable=False)
        self.final.address = "registry.test/final"
        self.seconds = 0.0

    def time(self) -> Time:
        def sleep(seconds: float) -> None:
            self.seconds += seconds
            self.store.clock += int(seconds * 1000)

        return Time(lambda: self.seconds, lambda: self.seconds, sleep)

    def run(
        self, commit: str, content: str, *, branch: str = "main", head: bool = False, overwrite: bool = False,
        complete: bool = True, tag: str = "latest", parents: tuple[str, ...] = (), wait: float = 61,
    ) -> Move:  # fmt: skip
        self.time().sleep(wait)
        history = Says({oid(letter) for letter in PAST[commit]} if complete else {commit}, complete=complete)
        position = HistoryPosition(commit, commit, branch, parents)
        tags = MovingTags(
            self.store, position, history, time=self.time(), overwrite=overwrite, is_head=lambda: head, digits=0
        )
        made = image(content)
        self.final.put_manifest(made)
        return tags.move(self.final, tag, made)

    def points_at(self, content: str, tag: str = "latest") -> bool:
        return self.final.tagged.get(tag) == image(content).digest


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_new_tag_is_written_and_follows_its_line(place: Place) -> None:
    assert place.run(A, "1") == Move("moved", "", None)
    assert place.run(C, "2") == Move("moved", "", image("1").digest)
    assert place.points_at("2")


def test_an_older_commit_leaves_the_tag_alone_and_says_where_it_is(place: Place) -> None:
    place.run(C, "2")
    assert place.run(A, "1") == Move(
        "left", "it is at ccccccc, which is not in the history of this commit", image("2").digest
    )
    assert place.points_at("2")


def test_the_same_commit_again_finds_its_tag_and_claims_nothing_more(place: Place) -> None:
    place.run(A, "1")
    claims = [tag for tag in place.store.tagged if parse_claim(tag)]
    assert place.run(A, "1").outcome == "there"
    assert [tag for tag in place.store.tagged if parse_claim(tag)] == claims


def test_a_commit_that_restores_an_earlier_image_holds_the_tag_against_the_one_between(place: Place) -> None:
    place.run(A, "1")
    assert place.run(C, "1").outcome == "there"
    assert place.run(B, "2").outcome == "left"
    assert place.points_at("1")


def test_a_commit_of_another_line_leaves_the_tag_alone_but_may_find_its_own_image_there(place: Place) -> None:
    place.run(B, "1")
    assert place.run(D, "2").outcome == "left"
    assert place.run(D, "1").outcome == "there"
    assert place.run(C, "3").outcome == "moved", "what another line found there does not hold the tag"


def test_unknown_history_leaves_the_tag_alone_and_is_called_so(place: Place) -> None:
    place.run(A, "1")
    left = place.run(B, "2", complete=False)
    assert (left.outcome, left.reason) == (
        "left", "it is at aaaaaaa, and the history here does not tell whether that is an ancestor of this commit"
    )  # fmt: skip


def test_the_head_of_a_branch_that_was_pushed_by_force_takes_the_branchs_tag(place: Place) -> None:
    place.run(C, "1", branch="work", head=True)
    assert place.run(D, "2", branch="work", head=True).outcome == "moved"
    assert place.run(C, "1", branch="work").outcome == "left", "a slow pipeline of what was replaced"
    assert place.points_at("2")


def test_the_head_of_a_branch_does_not_take_the_tag_of_another_branch(place: Place) -> None:
    place.run(C, "1", branch="main", head=True)
    assert place.run(D, "2", branch="work", head=True).outcome == "left"


def test_what_was_replaced_by_force_with_the_same_image_does_not_hold_the_tag(place: Place) -> None:
    place.run(B, "1")
    assert place.run(D, "1", overwrite=True).outcome == "there"
    assert place.run(C, "2").outcome == "left"


def test_overwriting_moves_the_tag_whatever_history_says(place: Place) -> None:
    place.run(C, "2")
    assert place.run(A, "1", overwrite=True).outcome == "moved"
    assert place.run(B, "3").outcome == "moved", "history goes on from there"


def test_of_many_commits_with_one_image_history_is_asked_for_the_newest_only(place: Place) -> None:
    line = [f"{number:040x}" for number in range(30)]
    for number, commit in enumerate(line):
        history = Says(line[:number])
        place.time().sleep(61)
        tags = MovingTags(place.store, HistoryPosition(commit, commit, "main"), history, time=place.time(), digits=0)
        assert tags.move(place.final, "latest", image("1")).outcome == ("there" if number else "moved")
    assert len(set().union(*(commits for commits, _ in history.asked))) == 10


def test_tags_and_repositories_are_remembered_apart(place: Place) -> None:
    place.run(C, "2")
    assert place.run(A, "1", tag="1.2").outcome == "moved"
    place.final.address = "registry.test/other"
    place.final.tagged.clear()
    assert place.run(A, "1").outcome == "moved"


def test_a_pull_requests_merge_counts_as_its_head(place: Place) -> None:
    PAST[oid("e")], PAST[oid("f")] = "eab", "fabc"
    place.run(oid("e"), "1", branch="", parents=(A, B))
    assert place.run(oid("f"), "2", branch="", parents=(A, C)).outcome == "moved"
    assert place.run(oid("e"), "1", branch="", parents=(A, B)).outcome == "left"


@pytest.mark.parametrize(
    ("annotations", "labels", "outcome"),
    [
        ({"org.opencontainers.image.revision": A}, {}, "moved"),
        ({}, {"org.opencontainers.image.revision": A}, "moved"),
        ({"org.opencontainers.image.revision": C}, {"org.opencontainers.image.revision": A}, "left"),
        ({"org.opencontainers.image.revision": D}, {}, "left"),
        ({"org.opencontainers.image.revision": "v1.2"}, {}, "left"),
        ({}, {}, "left"),
    ],
)
def test_a_tag_that_others_put_there_is_where_its_image_says(
    place: Place, annotations: Mapping[str, str], labels: Mapping[str, str], outcome: str
) -> None:
    place.final.put_manifest(image("theirs", annotations, labels, place.final), "latest")
    moved = place.run(B, "1")
    assert moved.outcome == outcome
    if not annotations and not labels:
        assert moved.reason == "it points at an image that Lineal did not put there, and that does not say its commit"
    assert place.run(B, "1", overwrite=True).outcome in ("moved", "there")
    assert place.points_at("1")


def test_a_tag_that_somebody_set_back_by_hand_moves_on_from_there(place: Place) -> None:
    place.run(A, "1")
    place.run(B, "2")
    place.final.tagged["latest"] = image("1").digest
    assert place.run(C, "3").outcome == "moved"


def test_a_tag_that_somebody_deleted_begins_anew(place: Place) -> None:
    place.run(C, "2")
    place.final.tagged.clear()
    assert place.run(A, "1").outcome == "moved"


def test_a_registry_that_lets_no_tag_move_is_named(place: Place) -> None:
    place.run(A, "1")
    place.final.immutable = True
    with pytest.raises(Unreachable, match=r"registry.test/final:latest should move, and the registry does not"):
        place.run(B, "2")


def test_a_run_that_was_held_up_after_its_look_looks_again(place: Place) -> None:
    """A newer commit's pipeline comes and goes meanwhile."""

    def meanwhile() -> None:
        assert place.run(C, "2", wait=0).outcome == "moved"
        place.time().sleep(10)

    place.store.number, place.store.meanwhile = 2, meanwhile
    assert place.run(A, "1").outcome == "left"
    assert place.points_at("2")


def test_a_run_that_was_held_up_after_its_claim_makes_a_new_one(place: Place) -> None:
    """Nobody waits for a claim that is older than a minute."""

    def sleep() -> None:
        place.time().sleep(100)
        place.store.number, place.store.meanwhile = 1, meanwhile

    def meanwhile() -> None:
        assert place.run(C, "2", wait=0).outcome == "moved"

    place.store.number, place.store.meanwhile = 2, sleep
    assert place.run(A, "1").outcome == "left"
    assert place.points_at("2")


def test_the_claim_of_a_run_that_died_stops_others_for_seconds_only(place: Place) -> None:
    place.run(A, "1")

    def die() -> None:
        raise KeyboardInterrupt

    place.store.number, place.store.meanwhile = 2, die
    with pytest.raises(KeyboardInterrupt):
        place.run(D, "2")
    began = place.seconds
    assert place.run(B, "3", wait=1).outcome == "moved"
    assert place.seconds - began < 15


@pytest.mark.server
def test_twenty_pipelines_that_end_in_any_order_leave_the_tag_at_the_newest_commit(
    registry: str, repository: str, repo: servers.Repository, tmp_path: Path
) -> None:
    """On a real registry, with real histories. Some of the commits restore an earlier image."""
    commits = [repo.write({"number": str(number)}) for number in range(20)]
    contents = [f"image {3 if number in (8, 15) else number}" for number in range(20)]
    place = StoreOpener(tmp_path, {}).store(f"{repository}/final")
    images = [image(content, store=place) for content in contents]
    for one in images:
        place.put_manifest(one)
    chance = random.Random(11)
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            at = place.digest("latest")
            if at is not None and seen[-1:] != [at]:
                seen.append(at)

    def pipeline(number: int) -> Move:
        time.sleep(chance.random())
        opened = StoreOpener(tmp_path, {})
        clone = Repository.open(repo.path, repo.environment())
        history = GitHistory(clone, [commits[number]], tmp_path / "cache")
        position = HistoryPosition(commits[number], commits[number], "main")
        tags = MovingTags(opened.store(repository), position, history, digits=number)
        final = opened.store(f"{repository}/final")
        write = final.move_tag

        def late(manifest: Manifest, tag: str) -> bool:
            """Others look meanwhile: of runs that take no heed of each other's claims, an older one writes last."""
            time.sleep(chance.random())
            return write(manifest, tag)

        final.move_tag = late  # type: ignore[method-assign]
        try:
            return tags.move(final, "latest", images[number])
        finally:
            history.close()
            clone.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    order = list(range(20))
    chance.shuffle(order)
    with ThreadPoolExecutor(20) as pool:
        moves = dict(zip(order, pool.map(pipeline, order), strict=True))
    ended.set()
    watcher.join()

    assert place.digest("latest") == images[19].digest
    assert not moves[19].reason
    assert all(move.reason or move.outcome != "left" for move in moves.values())
    places = [max(number for number, one in enumerate(images) if one.digest == digest) for digest in seen[:-1]]
    first = [min(number for number, one in enumerate(images) if one.digest == digest) for digest in seen[:-1]]
    assert all(before <= after for before, after in zip(first, places[1:], strict=False)), "never back"
    again = pipeline(7)
    assert (again.outcome, commits[19][:7] in again.reason) == ("left", True)
