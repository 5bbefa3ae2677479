"""Finding published stages: what is asked, what is selected, and what garbage under our tags does: nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lineal.oci.types import OCI_INDEX, OCI_MANIFEST, Manifest
from lineal.stages.eligibility import Eligibility
from lineal.stages.lane import OPEN
from lineal.stages.lookup import Lookup, Resolution
from lineal.stages.visibility import HistoryPosition
from lineal.store.record import image_digest
from lineal.store.tags import stage_tag
from tests.unit.stages.workbench import HERE, SUM, MemoryStore, Says, oid, put, record

T = 1_600_000_000_000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def finder(store: MemoryStore) -> Iterator[Callable[..., Lookup]]:
    made = []

    def make(history: Says | None = None, line: HistoryPosition = HERE) -> Lookup:
        made.append(Lookup(store, Eligibility(store, line, history or Says())))
        return made[-1]

    yield make
    for lookup in made:
        lookup.close()


def find(lookup: Lookup, checksum: str = SUM) -> Resolution:
    return lookup.find([checksum])[checksum]


def test_nothing_published_costs_one_request(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    found = find(finder())
    assert (found.candidate, found.anchored, found.newest) == (None, False, 0)
    assert found.reason == "not published yet"
    assert store.asked == [f"manifest {SUM}"]


def test_what_is_expected_is_asked_once_and_then_found_anew(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    lookup = finder()
    lookup.expect([SUM])
    assert find(lookup).candidate is None and store.asked == [f"manifest {SUM}"]
    put(store, record(created=T), anchor=True)
    assert find(lookup).candidate is not None


def test_what_a_miss_is_made_of_is_asked_for_before_anybody_hears_of_the_miss(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    below = "5b" * 32
    put(store, record(checksum=below, created=T), anchor=True)
    store.asked.clear()
    lookup = finder()
    lookup.expect([SUM], below={SUM: [below]}.__getitem__)
    assert find(lookup).candidate is None
    found = find(lookup, below).candidate
    assert found is not None and found.image is not None, "its image is read, for that is built on"
    assert store.asked.count(f"manifest {SUM}") == store.asked.count(f"manifest {below}") == 1


def test_where_another_lane_may_have_it_no_miss_is_told_too_early(store: MemoryStore) -> None:
    put(store, record(created=T), anchor=True)
    store.asked.clear()
    lookup, told = Lookup(store, Eligibility(store, HERE, Says()), lane=OPEN), threading.Event()
    lookup.expect([SUM], below={SUM: ["5b" * 32]}.__getitem__)
    assert lookup.find([SUM], told.set)[SUM].candidate is not None
    assert not told.is_set() and not [what for what in store.asked if "5b" * 32 in what]
    lookup.close()


def test_what_was_expected_in_vain_answers_no_later_question(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    lookup = finder()
    lookup.expect([SUM])
    put(store, record(created=T), anchor=True)
    assert lookup.find_now(SUM).candidate is not None
    lookup.expect(["5b" * 32])
    lookup.forget()
    put(store, record(checksum="5b" * 32, created=T), anchor=True)
    assert find(lookup, "5b" * 32).candidate is not None


def test_a_miss_is_told_while_others_are_still_asked(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    told = threading.Event()
    late = "5b" * 32

    def manifest(reference: str) -> None:
        if reference == late:
            assert told.wait(60)

    store.manifest = manifest  # type: ignore[method-assign]
    assert {one.candidate for one in finder().find([late, SUM], told.set).values()} == {None}


def test_what_is_expected_keeps_no_run_from_ending(
    store: MemoryStore, finder: Callable[..., Lookup], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def manifest(_reference: str) -> None:
        asked.set()
        assert answered.wait(60)

    monkeypatch.setattr(store, "manifest", manifest)
    lookup, before = finder(), set(threading.enumerate())
    lookup.expect([SUM])
    assert asked.wait(60)
    expecting = [thread for thread in threading.enumerate() if thread.name == "expect" and thread not in before]
    assert [thread.daemon for thread in expecting] == [True]
    answered.set()
    assert find(lookup).candidate is None


def test_a_visible_anchor_is_taken_without_a_listing(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    index = put(store, record(created=T), anchor=True)
    store.asked.clear()
    found = find(finder())
    assert found.candidate is not None
    assert (found.candidate.tag, found.candidate.digest) == (stage_tag(SUM, T), index.digest)
    assert found.reason == "this commit"
    assert len(store.asked) <= 2 and "tags" not in store.asked


def test_a_visible_anchor_wins_over_lower_timestamps(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    put(store, record(created=T), "earlier")
    put(store, record(created=T + 5), "anchored", anchor=True)
    found = find(finder())
    assert found.candidate is not None
    assert found.candidate.record.created == T + 5


def test_a_hidden_anchor_gives_way_to_the_lowest_visible_timestamp(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    put(store, record(oid("b"), created=T, branch="feature"), "hidden", anchor=True)
    put(store, record(oid("a"), created=T + 30), "late")
    put(store, record(oid("a"), created=T + 20), "first")
    put(store, record(oid("b"), created=T + 10, branch="feature"), "hidden, too")
    found = find(finder(Says([oid("a")])))
    assert found.candidate is not None
    assert found.candidate.tag == stage_tag(SUM, T + 20)
    assert (found.anchored, found.newest) == (True, T + 30)


def test_nothing_visible_is_a_miss_that_names_the_branch(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    put(store, record(oid("b"), created=T + 7, branch="feature"), anchor=True)
    found = find(finder())
    assert (found.candidate, found.anchored, found.newest) == (None, True, T + 7)
    assert "feature" in found.reason


def test_an_unknown_history_is_a_miss_and_said_so(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    put(store, record(oid("b")), anchor=True)
    found = find(finder(Says(complete=False)))
    assert found.candidate is None
    assert "unknown" in found.reason


def test_a_stage_whose_image_is_gone_counts_as_absent(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    index = put(store, record(created=T), anchor=True)
    del store.manifests[image_digest(index)]
    found = find(finder())
    assert (found.candidate, found.newest) == (None, T)
    assert "gone" in found.reason


def test_another_publication_stands_in_for_one_whose_image_is_gone(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    index = put(store, record(created=T), "gone", anchor=True)
    put(store, record(created=T + 1), "there")
    del store.manifests[image_digest(index)]
    found = find(finder())
    assert found.candidate is not None
    assert found.candidate.record.created == T + 1


def test_a_publication_known_to_lack_a_blob_counts_as_absent(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    index = put(store, record(created=T), anchor=True)
    lookup = finder()
    lookup.broken.add(index.digest)
    assert find(lookup).candidate is None


def test_a_look_up_never_answers_from_memory(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    lookup = finder()
    assert find(lookup).candidate is None
    put(store, record(), anchor=True)
    assert find(lookup).candidate is not None


def test_one_listing_and_two_questions_to_history_serve_many_checksums(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    sums = [f"{number:064x}" for number in range(30)]
    for checksum in sums:
        put(store, record(oid("b"), checksum=checksum), checksum, anchor=True)
    put(store, record(oid("c"), checksum=sums[3], created=T + 9), "ours")
    history = Says()
    found = finder(history).find([*sums, SUM])
    assert [checksum for checksum, finding in found.items() if finding.candidate] == [sums[3]]
    assert store.asked.count("tags") == 1
    assert len(history.asked) == 2


# --- garbage ----------------------------------------------------------------------------------------------------

GOOD = {f"dev.lineal.{name}": value for name, value in
        {"checksum": SUM, "commits": oid("c"), "tree": oid("d"), "created": str(T)}.items()}  # fmt: skip
IMAGE = {"digest": "sha256:" + "1" * 64, "size": 1, "mediaType": OCI_MANIFEST}
ENTRIES: list[Any] = [
    None, 7, "x", [], {}, {"digest": None}, {"digest": 7}, {"digest": "latest"}, {"digest": "sha256:../../etc"},
    {"digest": "other-tag"}, {"digest": "sha256:" + "A" * 64},
]  # fmt: skip
HOSTILE: list[Any] = [
    {},
    {"annotations": None},
    {"annotations": []},
    {"annotations": "dev.lineal.checksum"},
    {"annotations": {}},
    {"annotations": {**GOOD, "other": 7}},
    *({"annotations": {k: v for k, v in GOOD.items() if k != missing}} for missing in GOOD),
    *({"annotations": {**GOOD, "dev.lineal.created": text}} for text in
      ("", "soon", "-1", "1e3", "9" * 13 + "0", "9" * 5000, "0x10", str(T + 1) + ".0", "\ud800")),
    *({"annotations": {**GOOD, "dev.lineal.commits": text}} for text in
      ("", "   ", "main", "--all", "c" * 39, oid("c") + " ../../etc", oid("c").upper() + "\n;rm")),
    {"annotations": {**GOOD, "dev.lineal.tree": "$(reboot)"}},
    {"annotations": {**GOOD, "dev.lineal.checksum": "6" * 64}},
    {"annotations": {**GOOD, "dev.lineal.checksum": SUM.upper() + "G"}},
    {"annotations": GOOD, "manifests": None},
    {"annotations": GOOD, "manifests": []},
    {"annotations": GOOD, "manifests": {}},
    {"annotations": GOOD, "manifests": "sha256:"},
    *({"annotations": GOOD, "manifests": [entry]} for entry in ENTRIES),
    {"annotations": GOOD, "manifests": [IMAGE]},
]  # fmt: skip


@pytest.mark.parametrize("document", HOSTILE, ids=range(len(HOSTILE)))
def test_foreign_garbage_under_our_tags_is_a_miss(
    document: dict[str, Any], store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    store.tagged["other-tag"] = put(store, record(checksum="7" * 64)).digest
    manifest = Manifest(json.dumps({"manifests": [IMAGE], **document}).encode(), OCI_INDEX)
    for tag in (SUM, stage_tag(SUM, T)):
        store.tagged[tag] = manifest.digest
    store.manifests[manifest.digest] = manifest
    found = find(finder(Says([oid("c")])))
    assert found.candidate is None
    assert (found.anchored, found.newest) == (True, T)


def test_an_image_without_a_record_under_our_anchor_is_a_miss(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    image = Manifest(json.dumps({"config": {}, "layers": [], "annotations": GOOD}).encode(), OCI_MANIFEST)
    store.put_manifest(image, SUM)
    assert find(finder()).candidate is None


def test_a_stage_under_a_tag_of_another_time_is_no_candidate(
    store: MemoryStore, finder: Callable[..., Lookup]
) -> None:
    put(store, record(oid("b"), created=T + 50), "hidden", anchor=True)
    ours = put(store, record(created=T + 40), "ours")
    store.put_manifest(ours, stage_tag(SUM, T + 1))
    del store.tagged[stage_tag(SUM, T + 40)]
    assert find(finder()).candidate is None


def test_tags_that_only_look_like_ours_are_left_alone(store: MemoryStore, finder: Callable[..., Lookup]) -> None:
    put(store, record(oid("b"), created=T), "hidden", anchor=True)
    for tag in (
        f"{SUM}-{T + 1}0",
        f"{SUM}-12",
        f"{SUM}-{T + 1}-x",
        "latest",
        f"{SUM.upper()}-{T + 1}",
        f"x{SUM}-{T}",
    ):
        store.tagged[tag] = store.tagged[SUM]
    assert find(finder()).newest == T
