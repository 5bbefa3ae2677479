"""Runs that may not write: they read the real store and keep their own work to themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lineal.oci import Conflict, Store
from lineal.oci.types import OCI_LAYER_GZIP, Blob, Descriptor
from lineal.store.layout import Layout
from lineal.store.read_through import ReadThroughStore
from tests.unit.store.conftest import manifest_of


@pytest.fixture
def upper(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "private", partial=True)


@pytest.fixture
def overlay(upper: Layout, store: Store) -> ReadThroughStore:
    return ReadThroughStore(upper, store)


def test_what_is_published_is_read_through(overlay: ReadThroughStore, store: Store) -> None:
    manifest = manifest_of(store)
    store.put_manifest(manifest, "one")
    assert overlay.manifest("one") == manifest
    assert overlay.digest("one") == manifest.digest
    assert overlay.tags() == ["one"]
    config = manifest.json["config"]["digest"]
    assert overlay.has_blob(config)
    assert b"".join(overlay.blob(config)) == b"{}"
    assert overlay.address == store.address
    before, now, after = store.now(), overlay.now(), store.now()
    assert before <= now <= after


def test_what_is_written_stays_private(overlay: ReadThroughStore, store: Store, upper: Layout) -> None:
    manifest = manifest_of(overlay, "private")
    overlay.put_manifest(manifest, "mine")
    assert overlay.manifest("mine") == manifest
    assert overlay.tags() == ["mine"]
    assert upper.tags() == ["mine"]
    assert store.tags() == []
    assert store.manifest(manifest.digest) is None
    assert not store.has_blob(manifest.json["config"]["digest"])
    assert store.traffic.bytes_sent == 0


def test_tags_of_a_prefix_come_from_both(overlay: ReadThroughStore, store: Store) -> None:
    for writer, tags in ((store, ("one-1", "two-1")), (overlay, ("one-2", "two-2"))):
        manifest = manifest_of(writer)
        for tag in tags:
            writer.put_manifest(manifest, tag)
    assert sorted(overlay.tags("one")) == ["one-1", "one-2"]
    assert {"one-1", "one-2"} <= set(overlay.listed("one").tags)
    listed = overlay.listed("one")
    assert listed.whole == store.listed("one").whole
    assert "two-2" in listed.tags if listed.whole else "two-2" not in listed.tags


def test_a_published_tag_is_not_hidden_by_a_private_one(overlay: ReadThroughStore, store: Store) -> None:
    published = manifest_of(store, "published")
    store.put_manifest(published, "one")
    with pytest.raises(Conflict):
        overlay.put_manifest(manifest_of(overlay, "private"), "one")
    overlay.put_manifest(published, "one")
    assert overlay.tags() == ["one"]


def test_a_blob_that_is_published_is_not_copied(overlay: ReadThroughStore, store: Store, upper: Layout) -> None:
    blob = Blob.of(b"layer")
    store.put_blob(blob)
    overlay.put_blob(blob)
    assert overlay.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), store)
    assert not upper.has_blob(blob.digest)


def test_a_mount_never_writes_to_the_real_store(new_store: Callable[[str], Store], upper: Layout) -> None:
    base, store = new_store("base"), new_store("app")
    overlay = ReadThroughStore(upper, store)
    blob = Blob.of(b"base layer")
    base.put_blob(blob)
    mounted = overlay.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), base)
    assert mounted == isinstance(base, Layout)
    assert not store.has_blob(blob.digest)
