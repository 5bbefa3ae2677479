"""What every store does alike: an open registry, one with a password, and a layout directory."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal.errors import MissingContent
from lineal.oci import Store
from lineal.oci.types import DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER_GZIP, Blob, Descriptor, Manifest, sha256
from tests.unit.store.conftest import manifest_of

ABSENT = "sha256:" + "0" * 64


def peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest(store: Store) -> None:
    manifest = manifest_of(store)
    store.put_manifest(manifest, "one")
    for reference in ("one", manifest.digest):
        found = store.manifest(reference)
        assert found is not None
        assert (found.data, found.media_type) == (manifest.data, manifest.media_type)
        assert store.digest(reference) == manifest.digest


def test_a_manifest_put_by_digest_has_no_tag(store: Store) -> None:
    manifest = manifest_of(store)
    store.put_manifest(manifest)
    assert store.digest(manifest.digest) == manifest.digest
    assert store.tags() == []


def test_what_is_not_there_is_none_and_no_error(store: Store) -> None:
    assert store.manifest("nothing") is None
    assert store.manifest(ABSENT) is None
    assert store.digest("nothing") is None
    assert store.digest(ABSENT) is None
    assert store.tags() == []
    assert not store.has_blob(ABSENT)
    with pytest.raises(MissingContent):
        list(store.blob(ABSENT))


def test_an_index_with_its_children(store: Store) -> None:
    child = manifest_of(store)
    store.put_manifest(child)
    data = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.descriptor().to_json()]}
    ).encode()
    store.put_manifest(Manifest(data, OCI_INDEX), "stage")
    found = store.manifest("stage")
    assert found is not None
    assert found.is_index
    kept = store.manifest(found.json["manifests"][0]["digest"])
    assert kept is not None
    assert kept.data == child.data


def test_a_docker_manifest_keeps_its_type(store: Store) -> None:
    oci = manifest_of(store)
    config = {**oci.json["config"], "mediaType": "application/vnd.docker.container.image.v1+json"}
    document = {**oci.json, "mediaType": DOCKER_MANIFEST, "config": config}
    store.put_manifest(Manifest(json.dumps(document).encode(), DOCKER_MANIFEST), "docker")
    found = store.manifest("docker")
    assert found is not None
    assert found.media_type == DOCKER_MANIFEST


def test_the_same_tag_again_for_the_same_digest_is_fine(store: Store) -> None:
    manifest = manifest_of(store)
    store.put_manifest(manifest, "again")
    store.put_manifest(manifest, "again")
    assert store.tags() == ["again"]


def test_every_tag_is_listed_once(store: Store) -> None:
    manifest = manifest_of(store)
    wanted = [f"tag-{number}" for number in range(30)]
    for tag in wanted:
        store.put_manifest(manifest, tag)
    assert sorted(store.tags()) == sorted(wanted)
    assert sorted(store.tags("tag-1")) == sorted(tag for tag in wanted if tag.startswith("tag-1"))
    assert store.tags("tag-30") == []


@pytest.mark.parametrize("content", [b"", b"x", b"content" * 100_000], ids=["empty", "one byte", "700 KB"])
def test_a_blob_comes_back_from_memory_and_from_a_file(store: Store, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "layer"
    file.write_bytes(content + b"!")
    for blob in (Blob.of(content), Blob(sha256(content + b"!"), len(content) + 1, file)):
        store.put_blob(blob)
        assert store.has_blob(blob.digest)
        with blob.open() as source:
            assert b"".join(store.blob(blob.digest)) == source.read()


def test_a_blob_that_is_there_is_not_sent_again(store: Store) -> None:
    blob = Blob.of(b"abc" * 100_000)
    store.put_blob(blob)
    sent = store.traffic.bytes_sent
    store.put_blob(blob)
    assert store.traffic.bytes_sent == sent


def test_nothing_holds_a_blob_that_was_sent(store: Store) -> None:
    """A cache sends a gigabyte of them, and Python seldom looks for what holds itself."""
    content = b"held" * 100_000
    gc.disable()
    try:
        before = sys.getrefcount(content)
        store.put_blob(Blob.of(content))
        assert sys.getrefcount(content) == before
    finally:
        gc.enable()


def test_traffic_counts_bodies_both_ways(store: Store) -> None:
    blob = Blob.of(b"t" * 12345)
    store.put_blob(blob)
    assert 12345 <= store.traffic.bytes_sent < 2 * 12345 + 1
    before = store.traffic.bytes_read, store.traffic.requests
    list(store.blob(blob.digest))
    assert store.traffic.bytes_read - before[0] == 12345
    assert store.traffic.requests == before[1] + 1


def test_a_blob_is_mounted_from_a_neighbour_without_being_sent(new_store: Callable[[str], Store]) -> None:
    source, target = new_store("base"), new_store("app")
    blob = Blob.of(b"m" * 5000)
    source.put_blob(blob)
    sent = target.traffic.bytes_sent
    assert target.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), source)
    assert target.has_blob(blob.digest)
    assert target.traffic.bytes_sent == sent
    assert not target.mount_blob(Descriptor(OCI_LAYER_GZIP, ABSENT, 1), source)


def test_the_clock_is_near_and_never_goes_back(store: Store) -> None:
    import time

    before = time.time() * 1000
    readings = [store.now() for _ in range(5)]
    after = time.time() * 1000
    assert readings == sorted(readings)
    assert before - 2000 < readings[0] < after + 2000


def test_sixteen_threads_share_a_store(store: Store) -> None:
    def work(number: int) -> None:
        manifest = manifest_of(store, json.dumps({"number": number}))
        store.put_manifest(manifest, f"thread-{number}")
        found = store.manifest(f"thread-{number}")
        assert found is not None
        assert found.digest == manifest.digest

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(48)))
    assert sorted(store.tags()) == sorted(f"thread-{number}" for number in range(48))


def test_a_large_blob_does_not_pass_through_memory(store: Store, tmp_path: Path) -> None:
    file, hashed, block = tmp_path / "large", hashlib.sha256(), bytes(range(256)) * 4096
    with file.open("wb") as target:
        for number in range(200):
            part = number.to_bytes(4, "big") + block[4:]
            hashed.update(part)
            target.write(part)
    Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew from here.
    before = peak_kib()
    blob = Blob(f"sha256:{hashed.hexdigest()}", file.stat().st_size, file)
    store.put_blob(blob)
    assert sum(len(chunk) for chunk in store.blob(blob.digest)) == blob.size
    assert peak_kib() - before < 40 * 1024
