"""The documents that make a stage, and what passes for one."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineal.errors import MissingContent
from lineal.oci.image import encode, image_of
from lineal.oci.types import OCI_INDEX, OCI_LAYER_GZIP, Descriptor, Manifest, sha256
from lineal.store.record import (
    CONSTANT,
    CONTENT,
    FILESYSTEM,
    INLINE,
    PREFIX,
    TYPE,
    Part,
    Record,
    image_digest,
    read_stage,
    record_documents,
    record_parts,
    stage_index,
)
from lineal.store.statement import STATEMENT, StageStatement
from lineal.store.tags import stage_tag
from tests.unit.stages.workbench import MemoryStore, oid

LAYER = Descriptor(OCI_LAYER_GZIP, "sha256:" + "1" * 64, 7)
RECORDED = Record("5a" * 32, (oid("a"), oid("b")), oid("c"), "feature/ü", 1_700_000_000_000, "6b" * 32, "shop", "1.2")
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "2" * 64]},
}
OWN = stage_tag(RECORDED.checksum, RECORDED.created)


def index_of(record: Record = RECORDED) -> Manifest:
    made = image_of(CONFIG, [LAYER])
    _, beside = record_documents(record, {}, b"", made.manifest.digest)
    return stage_index(made, beside, record, "linux/amd64")


def changed(change: Callable[[dict[str, Any]], object]) -> Manifest:
    document = json.loads(index_of().data)
    change(document)
    return Manifest(encode(document), OCI_INDEX)


def test_a_stage_is_an_index_of_an_image_and_its_record() -> None:
    made = image_of({**CONFIG, "architecture": "arm"}, [LAYER])
    _, beside = record_documents(RECORDED, {"x": 1}, b"files", made, "linux/arm/v7")
    index = stage_index(made, beside, RECORDED, "linux/arm/v7")
    first, second = index.json["manifests"]
    assert image_digest(index) == first["digest"] == made.manifest.digest
    assert first["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
    assert second["platform"] == {"os": "unknown", "architecture": "unknown"}
    assert second["annotations"]["vnd.docker.reference.digest"] == made.manifest.digest
    assert index.media_type == OCI_INDEX
    said = StageStatement.read(Part.of(beside.json["layers"][0]).data or b"")
    assert said.inputs == {"x": 1} and said.image == made.manifest.digest and said.platform == "linux/arm/v7"


def test_what_annotations_say_is_read_back() -> None:
    assert Record.read(index_of()) == RECORDED
    timed = replace(RECORDED, durations=(1, 0, 999_999_999), beside=frozenset({"a=1", "b=2"}))
    assert Record.read(index_of(timed)) == timed


@pytest.mark.parametrize("text", ["", " ", "1 ", "1  2", "-1", "1_0", "0x1", "1.5", "١", "9" * 10, "9" * 5000])
def test_a_stage_is_as_good_without_durations(text: str) -> None:
    odd = changed(lambda document: document["annotations"].update({PREFIX + "durations": text}))
    assert Record.read(odd) == RECORDED


def test_the_record_does_not_depend_on_when_it_was_published_nor_on_how_long_it_took() -> None:
    made, later = image_of(CONFIG, [LAYER]), replace(RECORDED, created=1, durations=(5,))
    assert record_documents(RECORDED, {}, b"", made) == record_documents(later, {}, b"", made)


def test_the_parts_of_a_record_are_found_by_their_types() -> None:
    store = MemoryStore()
    made = image_of(CONFIG, [LAYER])
    _, beside = record_documents(RECORDED, {}, b"files", made.manifest.digest)
    index = stage_index(made, beside, RECORDED, "linux/amd64")
    with pytest.raises(MissingContent):
        record_parts(store, index)
    store.put_manifest(beside)
    parts = record_parts(store, index)
    assert StageStatement.read(parts[STATEMENT].read(store, 1 << 20)).checksum == RECORDED.checksum
    assert parts[FILESYSTEM].descriptor == Descriptor(FILESYSTEM, sha256(b"files"), 5)


def test_small_parts_are_no_blobs_of_their_own_and_large_ones_are() -> None:
    made, large = image_of(CONFIG, [LAYER]), random.Random(1).randbytes(INLINE + 1)
    constant, small = record_documents(RECORDED, {}, b"files", made)
    assert [blob for blob in constant if blob.digest not in CONSTANT] == []
    assert {entry["digest"] for entry in small.json["layers"]} <= {blob.digest for blob in constant}
    blobs, beside = record_documents(RECORDED, {}, large, made)
    (own,) = [blob for blob in blobs if blob.digest not in CONSTANT]
    store = MemoryStore()
    store.put_blob(own)
    assert set(beside.references) == {blob.digest for blob in blobs}
    part = Part.of(beside.json["layers"][1])
    assert part.data is None and part.read(store, 1 << 20) == large


def test_parts_of_records_that_were_published_before_are_read() -> None:
    """Those were blobs, and stood in the manifest as well."""
    entry = {"mediaType": FILESYSTEM, "digest": sha256(b"files"), "size": 5, "data": b64encode(b"files").decode()}
    assert Part.of(entry) == Part(Descriptor(FILESYSTEM, sha256(b"files"), 5), b"files")
    assert Part.of({**entry, "data": b64encode(b"other").decode()}).data is None
    assert Part.of({**entry, "annotations": {CONTENT: b64encode(b"other").decode(), TYPE: "x"}}).data == b"files"


@pytest.mark.parametrize("tag", [RECORDED.checksum, OWN])
def test_a_stage_is_read_at_its_tag_and_at_its_anchor(tag: str) -> None:
    assert read_stage(index_of(), tag, RECORDED.checksum) == (RECORDED, image_digest(index_of()))


@pytest.mark.parametrize(
    ("tag", "checksum"),
    [
        (OWN, "6b" * 32),
        ("6b" * 32, "6b" * 32),
        ("latest", RECORDED.checksum),
        (stage_tag(RECORDED.checksum, RECORDED.created + 1), RECORDED.checksum),
        (stage_tag("6b" * 32, RECORDED.created), RECORDED.checksum),
    ],
)
def test_a_stage_under_the_name_of_another_is_none(tag: str, checksum: str) -> None:
    assert read_stage(index_of(), tag, checksum) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.pop("annotations"),
        lambda index: index["annotations"].pop(PREFIX + "tree"),
        lambda index: index["annotations"].update({PREFIX + "commits": ""}),
        lambda index: index["annotations"].update({PREFIX + "commits": "main"}),
        lambda index: index["annotations"].update({PREFIX + "created": "soon"}),
        lambda index: index["annotations"].update({PREFIX + "created": "99999999999999"}),
        lambda index: index["annotations"].update({"more": 1}),
        lambda index: index["manifests"].pop(),
        lambda index: index["manifests"][0].update(digest="latest"),
        lambda index: index["manifests"][1].update(digest=None),
        lambda index: index.update(manifests={}),
        lambda index: index.update(manifests=[[], []]),
    ],
)
def test_an_index_without_what_a_stage_has_is_none(change: Callable[[dict[str, Any]], object]) -> None:
    assert read_stage(changed(change), RECORDED.checksum, RECORDED.checksum) is None
