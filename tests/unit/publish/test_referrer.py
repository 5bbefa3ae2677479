"""What is said of an image stands beside it once, for each key, and costs nothing when it is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lineal.errors import Unreachable
from lineal.oci.image import encode
from lineal.oci.types import OCI_INDEX, Manifest
from lineal.publish.referrer import Referrer, fallback_tag, referrer, referrers, say_once, state, statements
from lineal.store.layout import Layout

IMAGE = Manifest(encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}), OCI_INDEX)
SAID = json.dumps({"predicate": "made so"}).encode()


@pytest.fixture
def store(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "store", "layout:store")
    made.put_manifest(IMAGE)
    return made


def said(key: str | None = None) -> Referrer:
    signatures = json.dumps([{"keyid": key, "sig": "AA=="}])
    return referrer(SAID, IMAGE.descriptor(), (lambda _: signatures) if key else None)


def nothing() -> list[Referrer]:
    raise AssertionError("it is said already")


@pytest.mark.parametrize("key", [None, "ab12"])
def test_what_is_said_already_is_not_made_again(store: Layout, key: str | None) -> None:
    say_once(store, IMAGE.digest, key, lambda: [said(key)])
    say_once(store, IMAGE.digest, key, nothing)
    assert list(statements(store, IMAGE.digest)) == [{"predicate": "made so"}]


def test_another_key_says_it_too_and_the_list_keeps_both(store: Layout) -> None:
    for key in (None, "ab12", "cd34"):
        say_once(store, IMAGE.digest, key, lambda key=key: [said(key)])  # type: ignore[misc]
    listed = store.manifest(fallback_tag(IMAGE.digest))
    assert listed is not None and len(listed.json["manifests"]) == 3
    assert len(list(statements(store, IMAGE.digest))) == 3


class Crowded(Layout):
    """A store in which another run writes the same list just after this one."""

    writes = 0

    def move_tag(self, manifest: Manifest, tag: str) -> bool:
        moved = super().move_tag(manifest, tag)
        if self.writes:
            self.writes -= 1
            super().move_tag(IMAGE, tag)
        return moved


@pytest.mark.parametrize("writes", [3, 4])
def test_a_list_that_another_run_writes_is_written_again(tmp_path: Path, writes: int) -> None:
    store = Crowded(tmp_path / "store", "layout:store")
    store.put_manifest(IMAGE)
    store.writes = writes
    say_once(store, IMAGE.digest, None, lambda: [said()])
    assert list(statements(store, IMAGE.digest)) == [{"predicate": "made so"}]


def test_a_statement_that_is_lost_each_time_is_no_success(tmp_path: Path) -> None:
    store = Crowded(tmp_path / "store", "layout:store")
    store.put_manifest(IMAGE)
    store.writes = 100
    with pytest.raises(Unreachable, match="was written 5 times"):
        say_once(store, IMAGE.digest, None, lambda: [said()])


def test_an_image_of_which_nothing_is_known_has_no_list(store: Layout) -> None:
    say_once(store, IMAGE.digest, None, list)
    assert store.manifest(fallback_tag(IMAGE.digest)) is None


def test_each_signer_has_a_statement_of_its_own(store: Layout) -> None:
    def sign(key: str) -> Callable[[bytes], str]:
        return lambda _: json.dumps([{"keyid": key, "sig": "AA=="}])

    def say() -> list[bytes]:
        walks.append(1)
        return [SAID]

    walks: list[int] = []
    signers = [(key, sign(key)) for key in ("ab12", "cd34")]
    for _ in range(2):
        state(store, IMAGE, signers, say)
    assert [entry["annotations"]["dev.lineal.signer"] for entry in referrers(store, IMAGE.digest)] == ["ab12", "cd34"]
    assert walks == [1], "what is said is found out once for all"
