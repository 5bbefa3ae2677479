"""Image documents, ours and those that others made."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.errors import MissingContent, Unreachable
from lineal.oci.image import choose, encode, read_image
from lineal.oci.types import (
    DOCKER_LAYER_GZIP,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Blob,
    Descriptor,
    Manifest,
)
from tests.unit.stages.workbench import MemoryStore

LAYER = Descriptor(OCI_LAYER_GZIP, "sha256:" + "1" * 64, 7)
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "2" * 64]},
}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, document: Any, media_type: str = OCI_MANIFEST, tag: str = "t") -> Manifest:
    manifest = Manifest(document if isinstance(document, bytes) else encode(document), media_type)
    store.put_manifest(manifest, tag)
    return manifest


def image(store: MemoryStore, config: Any = CONFIG, **more: Any) -> dict[str, Any]:
    blob = Blob.of(config if isinstance(config, bytes) else encode(config))
    store.put_blob(blob)
    described = Descriptor(OCI_CONFIG, blob.digest, blob.size).to_json()
    return {"schemaVersion": 2, "config": described, "layers": [LAYER.to_json()], **more}


def test_odd_names_survive_encoding() -> None:
    assert encode({"name": "\udcff ü"}).decode("utf-8", "surrogatepass") == '{"name":"\udcff ü"}'


def test_docker_s_types_are_named_as_oci_s(store: MemoryStore) -> None:
    layers = [{**LAYER.to_json(), "mediaType": DOCKER_LAYER_GZIP}]
    put(store, image(store, layers=layers), DOCKER_MANIFEST)
    found = read_image(store, "t", "linux/amd64")
    assert found.layers == (LAYER,)
    assert found.config_json == CONFIG


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_is_resolved_for_the_platform(store: MemoryStore, media_type: str) -> None:
    wanted = put(store, image(store), tag="one")
    entries = [
        {"digest": "sha256:" + "8" * 64, "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": wanted.digest, "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    put(store, {"manifests": entries}, media_type, "list")
    assert read_image(store, "list", "linux/amd64").manifest.digest == wanted.digest


@pytest.mark.parametrize(
    ("platform", "offered", "found"),
    [
        ("linux/arm/v7", "v7", True),
        ("linux/arm/v7", "v6", False),
        ("linux/arm/v7", None, True),
        ("linux/arm", "v7", True),
        ("linux/amd64", "v7", False),
    ],
)
def test_variants_of_a_platform(platform: str, offered: str | None, found: bool) -> None:
    entry = {"digest": "sha256:" + "8" * 64, "platform": {"os": "linux", "architecture": "arm", "variant": offered}}
    index = Manifest(encode({"manifests": [entry]}), OCI_INDEX)
    if found:
        assert choose(index, platform, "r") == entry["digest"]
    else:
        with pytest.raises(Unreachable, match=f"no image for {platform}"):
            choose(index, platform, "r")


def test_what_an_index_offers_is_told(store: MemoryStore) -> None:
    entries = [{"digest": "sha256:" + "8" * 64, "platform": {"os": "linux", "architecture": "s390x"}}]
    put(store, {"manifests": entries}, OCI_INDEX)
    with pytest.raises(Unreachable, match="It offers linux/s390x"):
        read_image(store, "t", "linux/amd64")


def test_an_image_that_is_missing_is_gone(store: MemoryStore) -> None:
    with pytest.raises(MissingContent):
        read_image(store, "nothing", "linux/amd64")
    manifest = image(store)
    store.blobs.clear()
    put(store, manifest)
    with pytest.raises(MissingContent):
        read_image(store, "t", "linux/amd64")


INDEXES: list[Any] = [
    {"manifests": [None]}, {"manifests": ["x"]}, {"manifests": [{"platform": "linux"}]},
    {"manifests": [{"platform": []}]}, {"manifests": 7},
    {"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}]}, {"manifests": None}, {},
    {"manifests": [{"digest": "latest", "platform": {"os": "linux", "architecture": "amd64"}}]},
    {"manifests": [{"digest": "sha256:../x", "platform": {"os": "linux", "architecture": "amd64"}}]},
    {"manifests": [{"digest": 7, "platform": {"os": "linux", "architecture": "amd64"}}]},
]  # fmt: skip


@pytest.mark.parametrize("document", INDEXES, ids=range(len(INDEXES)))
def test_a_foreign_index_is_refused_with_a_sentence(store: MemoryStore, document: Any) -> None:
    put(store, document, OCI_INDEX)
    with pytest.raises(Unreachable):
        read_image(store, "t", "linux/amd64")


CONFIGS: list[Any] = [
    b"", b"{", b"[]", b"7", b"\xff", {}, {"rootfs": None}, {"rootfs": []}, {"rootfs": {"diff_ids": None}},
    {"rootfs": {"diff_ids": 7}},
    {"rootfs": {"diff_ids": []}}, {"rootfs": {"diff_ids": ["a", "b"]}}, b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_a_config_that_does_not_fit_its_layers_is_refused_with_a_sentence(store: MemoryStore, config: Any) -> None:
    put(store, image(store, config))
    with pytest.raises(Unreachable):
        read_image(store, "t", "linux/amd64")


@pytest.mark.parametrize(
    "layers",
    [
        [{}], [None], ["x"], 7, None, [{**LAYER.to_json(), "size": "big"}],
        [{**LAYER.to_json(), "digest": "sha256:../../x"}],
        [{**LAYER.to_json(), "urls": ["https://elsewhere"]}],
        [{**LAYER.to_json(), "mediaType": "application/x-foreign"}],
    ],
)  # fmt: skip
def test_layers_that_cannot_be_taken_over_are_refused_with_a_sentence(store: MemoryStore, layers: Any) -> None:
    put(store, image(store, layers=layers))
    with pytest.raises(Unreachable):
        read_image(store, "t", "linux/amd64")
