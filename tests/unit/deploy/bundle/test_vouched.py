"""Bundles in a run with a key: marked when they are published, and no other one is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.deploy.bundle import registry
from lineal.deploy.bundle.vouched import marks_of, vouched
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci.image import encode
from lineal.oci.types import Manifest
from lineal.store.layout import Layout
from lineal.trust.mark import MARK, Marks, TrustKey
from tests.unit.deploy.bundle.test_bundle import COMMIT, bundle

KEY, OTHER = TrustKey(bytes(range(40))[:32]), TrustKey(bytes(range(60, 92)))
MARKS = Marks([KEY])


@pytest.fixture
def store(tmp_path: Path) -> Layout:
    return Layout(tmp_path, "registry.test/shop")


def put(store: Layout, version: str, marks: Marks | None = MARKS) -> Manifest:
    return registry.put(store, vouched(marks, bundle(version=version)), None, lambda _: None)


def test_a_marked_bundle_is_found_by_version_commit_and_digest(store: Layout) -> None:
    made = put(store, "1.0.0")
    assert MARK in made.json["annotations"]
    for name in ("1.0.0", COMMIT, made.digest):
        assert registry.get(store, name, "it", MARKS)[1].digest == made.digest
    assert put(store, "1.0.0").digest == made.digest, "publishing again changes nothing"
    assert registry.get(store, "1.0.0", "it")[0].version == "1.0.0", "without a key everybody is believed"


@pytest.mark.parametrize(
    ("marks", "why"), [(None, "not from a protected pipeline"), (Marks([OTHER]), "marked with another key")]
)
def test_what_others_published_is_refused_before_its_chart_is_read(
    store: Layout, marks: Marks | None, why: str
) -> None:
    made = put(store, "1.0.0", marks)
    store.delete(str(made.json["layers"][0]["digest"]))
    with pytest.raises(DeployFailed, match=why):
        registry.get(store, "1.0.0", "it", MARKS)


def test_a_chart_in_place_of_the_marked_one_is_refused(store: Layout) -> None:
    marked, evil = put(store, "1.0.0"), put(store, "2.0.0", None)
    document = json.loads(marked.data)
    document["layers"] = evil.json["layers"]
    store.put_manifest(Manifest(encode(document), marked.media_type), "3.0.0")
    with pytest.raises(DeployFailed, match="its mark is not true"):
        registry.get(store, "3.0.0", "it", MARKS)


def test_an_older_bundle_under_the_tag_of_another_version_is_refused(store: Layout) -> None:
    store.put_manifest(put(store, "1.0.0"), "2.0.0")
    with pytest.raises(DeployFailed, match="leads to the bundle of version `1"):
        registry.get(store, "2.0.0", "it", MARKS)


def test_the_mark_of_a_stage_is_none_of_a_bundle(store: Layout) -> None:
    made = put(store, "1.0.0", None)
    document = json.loads(made.data)
    document["annotations"][MARK] = MARKS.mark(made, lambda found: json.dumps(["lineal stage 1"]).encode()).json[
        "annotations"][MARK]  # fmt: skip
    store.put_manifest(Manifest(encode(document), made.media_type), "2.0.0")
    with pytest.raises(DeployFailed, match="its mark is not true"):
        registry.get(store, "2.0.0", "it", MARKS)


def test_a_wrong_key_is_told() -> None:
    assert marks_of({}) is None
    with pytest.raises(BadConfiguration, match="Key number 1"):
        marks_of({"LINEAL_TRUST_KEY": "short"})
