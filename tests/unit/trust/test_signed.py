"""Signed stages: what of a stage a signature vouches for, and what nobody can exchange."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineal.oci.image import encode
from lineal.oci.types import OCI_INDEX, Blob, Manifest
from lineal.store.record import PREFIX, SIGNATURES, Record, record_documents, stage_index, told
from lineal.store.statement import Builder
from lineal.trust.mark import MARK
from lineal.trust.signed import SignedStages, signer
from tests.unit.stages.workbench import MemoryStore, built, oid, record
from tests.unit.trust.signing import NOW, STORE, evidence, new_key, public_key, signed_stage

ACCEPTED = SignedStages([public_key(new_key("other"), "keys/old.pub"), public_key(new_key())])


def reason(store: MemoryStore, index: Manifest, verifier: SignedStages = ACCEPTED, repository: str = STORE) -> str:
    """Why a stage is not believed; empty when it is."""
    verdict = verifier.judge(evidence(store, index, repository))
    return "" if verdict.trusted else verdict.reason


def test_a_stage_that_a_key_of_the_commit_signed_is_believed() -> None:
    store = MemoryStore()
    verdict = ACCEPTED.judge(evidence(store, signed_stage(store)))
    assert verdict.trusted and verdict.reason == "signed by keys/ci.pub"


@pytest.mark.parametrize("change", [lambda text: text, lambda text: text.replace('"sig":"', '"sig":"AAAA')])
def test_a_stage_that_another_key_signed_is_not(change: Callable[[str], str]) -> None:
    store = MemoryStore()
    sign = signer(new_key("a stranger's"))
    index = signed_stage(store, sign=lambda statement: change(sign(statement)))
    assert reason(store, index) == "signed with a key that this commit does not accept"


@pytest.mark.parametrize("signatures", ["", "{}", "1", '[{"sig":"?"}]', '[{"keyid":1}]', "[" * 9999])
def test_what_is_no_signature_convinces_nobody(signatures: str) -> None:
    store = MemoryStore()
    assert reason(store, signed_stage(store, sign=lambda _: signatures))


def test_a_stage_of_another_version_or_without_a_signature_is_not_believed() -> None:
    store, made = MemoryStore(), built()
    blobs, beside = record_documents(record(), made.inputs, made.filesystem, made.image, made.platform)
    for blob in blobs:
        store.put_blob(blob)
    store.put_manifest(beside)
    assert reason(store, stage_index(made.image, beside, record(), made.platform)) == "nobody has signed it"
    earlier = beside.json
    earlier["layers"][0]["mediaType"] = "application/vnd.dev.lineal.record.v1+json"
    first = Manifest(encode(earlier), beside.media_type)
    store.put_manifest(first)
    assert reason(store, stage_index(made.image, first, record(), made.platform)) == "nobody has signed it"


def test_a_record_that_is_gone_vouches_for_nothing() -> None:
    store = MemoryStore()
    index = signed_stage(store)
    assert reason(MemoryStore(), index) == "its record is gone"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("checksum", "6b" * 32), ("commits", oid("e")), ("commits", f"{oid('c')} {oid('e')}"), ("tree", oid("a")),
        ("beside", "secret:1"), ("branch", "release"), ("parent", "7c" * 32), ("project", "other"), ("version", "2"),
        ("durations", "9 9"),
    ],
)  # fmt: skip
def test_a_statement_replayed_under_other_facts_is_refused(key: str, value: str) -> None:
    store = MemoryStore()
    document = json.loads(signed_stage(store).data)
    document["annotations"][PREFIX + key] = value
    assert reason(store, Manifest(encode(document), OCI_INDEX)) == "what is signed is about something else"


def test_how_long_it_took_is_signed_too() -> None:
    store = MemoryStore()
    index = signed_stage(store, replace(record(), durations=(5, 0, 7)))
    assert Record.read(index).durations == (5, 0, 7) and not reason(store, index)


def test_a_statement_replayed_beside_another_image_is_refused() -> None:
    store = MemoryStore()
    index, other = signed_stage(store), built("evil")
    store.put_manifest(other.image.manifest)
    store.put_blob(Blob.of(other.image.config))
    beside = store.manifest(index.json["manifests"][1]["digest"])
    assert beside is not None
    forged = stage_index(other.image, beside, record(), "linux/amd64")
    assert reason(store, forged) == "what is signed is about something else"


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers[1].update(digest="sha256:" + "0" * 64),
        lambda layers: layers.append(dict(layers[1])),
        lambda layers: layers.pop(),
        lambda layers: layers[1].update(mediaType="text/plain"),
    ],
)
def test_a_signed_statement_in_another_record_is_refused(change: Callable[[list[Any]], object]) -> None:
    """The filesystem index decides whose the files of later stages are, and where links lead."""
    store = MemoryStore()
    index = signed_stage(store)
    beside = store.manifest(index.json["manifests"][1]["digest"])
    assert beside is not None
    document = json.loads(beside.data)
    change(document["layers"])
    other = Manifest(encode(document), beside.media_type)
    store.put_manifest(other)
    forged = stage_index(built().image, other, record(), "linux/amd64")
    assert reason(store, forged) == "what is signed is about something else"


def _with(index: dict[str, Any], **changes: Any) -> None:
    index["manifests"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        # docker pulls the image of its own platform, whichever stands first.
        lambda index: _with(index, platform={"os": "windows", "architecture": "amd64"}),
        lambda index: index["manifests"].append({**index["manifests"][0], "digest": "sha256:" + "0" * 64}),
        lambda index: index["annotations"].update({"dev.lineal.more": "x"}),
        lambda index: index.update({"subject": index["manifests"][0]}),
        lambda index: _with(index, urls=["https://evil.example.com"]),
        lambda index: _with(index, data="AAAA"),
        lambda index: index["manifests"][1].update(artifactType="x"),
    ],
)
def test_nothing_can_be_added_beside_what_is_signed(change: Callable[[dict[str, Any]], object]) -> None:
    store = MemoryStore()
    document = json.loads(signed_stage(store).data)
    change(document)
    assert reason(store, Manifest(encode(document), OCI_INDEX)) == "what is signed is not all of it"


def test_an_index_that_reads_differently_elsewhere_is_refused() -> None:
    store = MemoryStore()
    index = signed_stage(store)
    doubled = index.data.replace(b'"manifests":', b'"manifests":[],"manifests":', 1)
    assert reason(store, Manifest(doubled, OCI_INDEX)) == "what is signed is not all of it"


def test_a_mark_may_stand_beside_a_signature() -> None:
    store = MemoryStore()
    document = json.loads(signed_stage(store).data)
    document["annotations"][MARK] = "hmac-sha256:00000000:" + "0" * 64
    assert not reason(store, Manifest(encode(document), OCI_INDEX))


def test_a_stage_of_another_store_is_refused() -> None:
    store = MemoryStore()
    index = signed_stage(store)
    assert reason(store, index, repository="registry.example.com/team/other") == "what is signed is of another store"


def test_a_stage_does_not_become_older_than_its_signature() -> None:
    """A low timestamp would win over the publication that came first."""
    store = MemoryStore()
    assert not reason(store, signed_stage(store, record(created=NOW + 5)))
    older = signed_stage(store, record(created=NOW - 61_000))
    assert reason(store, older) == "it calls itself older than its signature"


def test_what_a_pull_request_signed_counts_for_it_and_where_merged_work_does() -> None:
    store = MemoryStore()
    index = signed_stage(store, builder=Builder(pull_request=12, store=STORE))
    assert "pull request 12" in reason(store, index)
    assert "pull request 12" in reason(store, index, replace(ACCEPTED, pull_request=13))
    assert not reason(store, index, replace(ACCEPTED, pull_request=12))
    assert not reason(store, index, replace(ACCEPTED, merged=True))


def test_the_facts_of_a_record_are_those_of_its_statement() -> None:
    store = MemoryStore()
    found = replace(record(oid("c"), oid("e"), branch="feature/ü"), beside=frozenset({"b", "a"}))
    index = signed_stage(
        store, found, builder=Builder("https://ci/flow", "https://ci/1", 7, STORE, "https://forge/a")
    )
    beside = store.manifest(index.json["manifests"][1]["digest"])
    assert beside is not None
    read = told(store, beside)
    assert read is not None and read.statement is not None
    said = read.statement
    assert said.making.builder == Builder("https://ci/flow", "https://ci/1", 7, STORE, "https://forge/a")
    assert (said.commits, said.tree, said.branch) == (found.commits, found.tree, found.branch)
    assert said.finished == NOW and SIGNATURES in beside.json["layers"][0]["annotations"]
    assert Record.read(index) == found
