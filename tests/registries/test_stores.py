"""A store on every kind of registry: what is put there comes back, and lists are whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal.oci import Conflict, Store
from lineal.oci.types import OCI_LAYER_GZIP, Blob, Descriptor, sha256
from lineal.store.registry.client import Registry
from lineal.store.tags import stage_tag
from tests.registries.conftest import QUIRKS
from tests.registries.faults import Redirects
from tests.registries.lists import Lagging
from tests.registries.proxy import Proxy
from tests.unit.store.conftest import manifest_of

Open = Callable[[str], Registry]
CHECKSUM = hashlib.sha256(b"a stage").hexdigest()
NEIGHBOUR = CHECKSUM[:-1] + "fe"[CHECKSUM.endswith("f")]


def publish(store: Store, checksum: str, *stamps: int) -> set[str]:
    """Stage tags at these times, and an anchor for the first."""
    tags = [stage_tag(checksum, stamp) for stamp in stamps]
    for tag in [*tags, checksum]:
        store.put_manifest(manifest_of(store, f'"{tags[0] if tag == checksum else tag}"'), tag)
    return {*tags, checksum}


def wait_for(store: Store, server: Proxy) -> None:
    """Until lists have caught up."""
    for _ in range(max((each.requests for each in server.quirks if isinstance(each, Lagging)), default=0)):
        store.digest("anything")


def test_what_is_put_comes_back(open_store: Open, server: Proxy, tmp_path: Path) -> None:
    store, reader = open_store("app"), open_store("app")
    file = tmp_path / "layer"
    file.write_bytes(os.urandom(100_000))
    layer = Blob(sha256(file.read_bytes()), 100_000, file)
    store.put_blob(layer)
    manifest = manifest_of(store)
    store.put_manifest(manifest, "one")
    store.put_manifest(manifest, "one")
    for each in (store, reader):
        assert each.manifest("one") == manifest
        assert each.manifest(manifest.digest) == manifest
        assert each.digest("one") == manifest.digest
        assert each.manifest("none") is None
        assert each.digest("none") is None
        assert each.has_blob(layer.digest)
        assert not each.has_blob(sha256(b"absent"))
        assert b"".join(each.blob(layer.digest)) == file.read_bytes()
    assert not any(each.refused for each in server.quirks if isinstance(each, Redirects))
    assert server.moved == []


def test_the_right_to_write_is_asked_for_and_nothing_is_left(open_store: Open, server: Proxy) -> None:
    open_store("app").check_push()
    assert open_store("app").tags() == []
    assert not [request for request in server.seen if request.method == "PUT"]


def test_a_blob_is_mounted_from_a_neighbour(open_store: Open) -> None:
    store = open_store("app")
    base = store.sibling(f"{store.repository}/base")
    blob = Blob.of(os.urandom(1000))
    base.put_blob(blob)
    if not store.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), base):
        store.put_blob(blob)
    assert store.has_blob(blob.digest)


def test_lists_are_whole(open_store: Open, server: Proxy) -> None:
    """All tags, those of one checksum, those of one that is not there; to who wrote them and to who only reads."""
    writer = open_store("app")
    assert writer.tags() == []
    assert writer.tags(CHECKSUM) == []
    ours = publish(writer, CHECKSUM, 1_700_000_000_000, 1_700_000_000_007, 1_700_000_000_010)
    others = {tag for other in (NEIGHBOUR, "0" * 64, "f" * 64) for tag in publish(writer, other, 1)}
    writer.put_manifest(manifest_of(writer), "Latest")
    wait_for(writer, server)
    for store in (writer, open_store("app")):
        for _ in range(2):
            assert set(store.tags(CHECKSUM)) == ours
            assert store.tags(hashlib.sha256(b"nothing").hexdigest()) == []
        assert set(store.tags()) >= ours | others | {"Latest"}
        assert set(store.tags(NEIGHBOUR) + store.tags("0" * 64) + store.tags("f" * 64)) == others
        assert store.tags("Late") == ["Latest"]
    assert all(int(request.query.get("n", 0)) <= 1000 for request in server.seen)


def test_the_first_claim_is_on_the_list(open_store: Open, server: Proxy) -> None:
    """A run that has just written a second stage tag, and knows of no other, must find the first one."""
    writer = open_store("app")
    for stamp in (5, 1_700_000_000_000):
        tag = stage_tag(CHECKSUM, stamp)
        writer = open_store("app")
        writer.put_manifest(manifest_of(writer, f'"{tag}"'), tag)
    wait_for(writer, server)
    assert set(writer.tags(CHECKSUM)) == {stage_tag(CHECKSUM, 5), stage_tag(CHECKSUM, 1_700_000_000_000)}


@pytest.mark.parametrize("quirk", [name for name in QUIRKS if name.startswith("immutable")], indirect=True)
def test_a_tag_has_one_first_writer(open_store: Open, server: Proxy) -> None:
    """Where tags are immutable, one of many writers at once has the tag, and the others are told."""

    def write(number: int) -> str | None:
        store = open_store("app")
        manifest = manifest_of(store, str(number))
        try:
            store.put_manifest(manifest, "wanted")
        except Conflict:
            return None
        return manifest.digest

    with ThreadPoolExecutor(6) as pool:
        (winner,) = [digest for digest in pool.map(write, range(6)) if digest]
    assert open_store("app").digest("wanted") == winner
    assert server.moved == []
