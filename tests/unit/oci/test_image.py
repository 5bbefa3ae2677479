"""Image documents, ours and those that others made."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.errors import MissingContent, Unreachable
from lineal.oci.image import MAX_DOCUMENTS, encode, read_image
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


def config(architecture: str | None, **more: Any) -> dict[str, Any]:
    return {**CONFIG, "architecture": architecture, **more}


def offer(store: MemoryStore, *platforms: str, tag: str = "t", **entry: Any) -> list[Manifest]:
    """An index at `tag` that offers an image for each platform (`""`: the entry names none), in this order."""
    made, entries = [], []
    for number, platform in enumerate(platforms):
        names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)) if platform else None
        made.append(put(store, image(store, {**CONFIG, "author": str(number)}), tag=f"{tag}-{number}"))
        entries.append({**made[-1].descriptor().to_json(), **({"platform": names} if names else {}), **entry})
    put(store, {"manifests": entries}, OCI_INDEX, tag)
    return made


@pytest.mark.parametrize(
    ("platform", "offered", "found"),
    [
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"], 2),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v1"], 1),
        ("linux/amd64", ["linux/386", "linux/amd64"], 1),
        ("linux/amd64", ["linux/arm64", "linux/386"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1),
        ("linux/amd64/v3", ["linux/amd64/v4", "linux/amd64"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64"], 2),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm", ["linux/arm/v6", "linux/arm"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"], 2),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], 1),
        ("linux/arm64", ["linux/arm64/v9", "linux/arm/v7"], 1),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/amd64", ["unknown/unknown", "linux/amd64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/x86_64"], 1),
        ("linux/amd64", ["", "linux/amd64"], 1),
        ("linux/amd64", ["", "linux/arm64"], 0),
    ],
)
def test_an_index_gives_what_containerd_takes(
    store: MemoryStore, platform: str, offered: list[str], found: int
) -> None:
    made = offer(store, *offered)
    assert read_image(store, "t", platform).manifest.digest == made[found].digest


@pytest.mark.parametrize(
    ("platform", "offered"),
    [
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64/v3"]),
        ("linux/arm/v6", ["linux/arm", "linux/arm64"]),
        ("linux/arm64", ["linux/arm64/v9", "linux/amd64"]),
        ("linux/386", ["linux/amd64"]),
        ("linux/amd64/v99999999999999999999", ["linux/arm64"]),
    ],
)
def test_newer_variants_and_other_processors_are_refused_by_name(
    store: MemoryStore, platform: str, offered: list[str]
) -> None:
    offer(store, *offered, "unknown/unknown")
    with pytest.raises(Unreachable, match=f"no image for {platform}") as error:
        read_image(store, "t", platform)
    for name in offered:
        assert name in str(error.value)
    assert "unknown" not in str(error.value)


def test_an_entry_without_a_platform_is_what_its_config_says(store: MemoryStore) -> None:
    """As registries and build tools put an index around images, with null and nothing for a platform."""
    arm, newer, plain = (
        put(store, image(store, document), tag=tag)
        for tag, document in (("a", config("arm64")), ("v", config("amd64", variant="v3")), ("p", config("x86_64")))
    )
    artifact = put(store, image(store, config={**CONFIG}, layers=[]), tag="x")
    entries = [
        {**artifact.descriptor().to_json(), "artifactType": "application/x-sbom"},
        {**arm.descriptor().to_json(), "platform": None},
        {**newer.descriptor().to_json(), "platform": {}},
        plain.descriptor().to_json(),
    ]
    put(store, {"manifests": entries}, OCI_INDEX)
    assert read_image(store, "t", "linux/amd64").manifest.digest == plain.digest
    assert read_image(store, "t", "linux/arm64").manifest.digest == arm.digest
    with pytest.raises(Unreachable, match=r"It offers linux/amd64, linux/amd64/v3, linux/arm64\."):
        read_image(store, "t", "linux/s390x")


def test_an_entry_without_a_platform_that_is_no_image_is_passed_over(store: MemoryStore) -> None:
    config = {"mediaType": "application/vnd.in-toto+json", "digest": "sha256:" + "5" * 64, "size": 2}
    odd = put(store, {"schemaVersion": 2, "config": config, "layers": []}, tag="odd")
    good = put(store, image(store), tag="good")
    put(store, {"manifests": [odd.descriptor().to_json(), good.descriptor().to_json()]}, OCI_INDEX)
    assert read_image(store, "t", "linux/amd64").manifest.digest == good.digest


@pytest.mark.parametrize("platform", [{"os": "linux", "architecture": "amd64"}, None])
def test_an_index_in_an_index_is_followed(store: MemoryStore, platform: Any) -> None:
    (other,) = offer(store, "linux/arm64", tag="arm")
    (wanted,) = offer(store, "linux/amd64", tag="amd")
    entries = [
        {**Manifest(store.manifest(tag).data, OCI_INDEX).descriptor().to_json(), "platform": platform}  # type: ignore[union-attr]
        for tag in ("arm", "amd")
    ]
    put(store, {"manifests": entries}, DOCKER_LIST, "outer")
    assert read_image(store, "outer", "linux/amd64").manifest.digest == wanted.digest
    if platform is None:
        assert read_image(store, "outer", "linux/arm64").manifest.digest == other.digest


def test_an_index_that_leads_to_very_many_documents_is_refused(store: MemoryStore) -> None:
    (empty,) = [put(store, {"manifests": []}, OCI_INDEX, "empty")]
    entries = [empty.descriptor().to_json()] * MAX_DOCUMENTS
    put(store, {"manifests": entries}, OCI_INDEX)
    with pytest.raises(Unreachable, match=f"more than {MAX_DOCUMENTS} documents"):
        read_image(store, "t", "linux/amd64")


@pytest.mark.parametrize(
    ("media_type", "ending"),
    [
        ("docker.image.rootfs.diff.tar", ""), ("docker.image.rootfs.diff.tar.gzip", "+gzip"),
        ("docker.image.rootfs.diff.tar.zstd", "+zstd"), ("docker.image.rootfs.foreign.diff.tar", ""),
        ("docker.image.rootfs.foreign.diff.tar.gzip", "+gzip"), ("oci.image.layer.v1.tar", ""),
        ("oci.image.layer.v1.tar+gzip", "+gzip"), ("oci.image.layer.v1.tar+zstd", "+zstd"),
        ("oci.image.layer.nondistributable.v1.tar", ""), ("oci.image.layer.nondistributable.v1.tar+gzip", "+gzip"),
        ("oci.image.layer.nondistributable.v1.tar+zstd", "+zstd"),
    ],
)  # fmt: skip
def test_every_layer_that_docker_pulls_becomes_one_of_oci(store: MemoryStore, media_type: str, ending: str) -> None:
    layer = {**LAYER.to_json(), "mediaType": f"application/vnd.{media_type}", "urls": ["https://elsewhere"]}
    put(store, image(store, layers=[layer]), DOCKER_MANIFEST)
    (found,) = read_image(store, "t", "linux/amd64").layers
    assert found == Descriptor(f"application/vnd.oci.image.layer.v1.tar{ending}", LAYER.digest, LAYER.size)


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
        [{**LAYER.to_json(), "mediaType": "application/x-foreign"}],
    ],
)  # fmt: skip
def test_layers_that_cannot_be_taken_over_are_refused_with_a_sentence(store: MemoryStore, layers: Any) -> None:
    put(store, image(store, layers=layers))
    with pytest.raises(Unreachable):
        read_image(store, "t", "linux/amd64")
