"""Bases that others made: for which processor they are, and how their layers are packed."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from lineal.dockerfile.stage import Stage
from lineal.errors import BuildFailed, Unreachable
from lineal.oci.image import image_of, read_image
from lineal.oci.types import OCI_INDEX, Blob, Descriptor, Image, Manifest, sha256
from lineal.store.record import image_digest
from tests.unit.build.factory import Factory, layer
from tests.unit.stages.workbench import planned

OCI = "application/vnd.oci.image.layer.v1.tar"
DOCKER = "application/vnd.docker.image.rootfs.diff.tar"


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


def built(factory: Factory, stage: Stage) -> tuple[dict[str, str], Image]:
    """The platform that the stage's index names, and its image."""
    candidate = factory.run({"app": stage}).candidate(stage)
    assert candidate is not None
    return candidate.index.json["manifests"][0]["platform"], read_image(
        factory.store, image_digest(candidate.index), stage.platform
    )


@pytest.mark.parametrize(
    ("platform", "config", "found"),
    [
        ("linux/amd64", {"architecture": "arm64", "os": "linux", "variant": "v8"}, "linux/arm64"),
        ("linux/amd64", {"architecture": "amd64", "os": "windows"}, "windows/amd64"),
        ("linux/amd64", {"architecture": "s390x", "os": "linux"}, "linux/s390x"),
        ("linux/arm64", {"architecture": "amd64", "os": "linux"}, "linux/amd64"),
        ("linux/arm/v7", {"architecture": "arm64", "os": "linux"}, "linux/arm64"),
        ("linux/386", {"architecture": "amd64", "os": "linux"}, "linux/amd64"),
    ],
)
def test_a_base_for_another_processor_is_refused_by_name(
    factory: Factory, platform: str, config: dict[str, object], found: str
) -> None:
    factory.base_with({}, "1", **config)
    with pytest.raises(
        Unreachable, match=f"^Dockerfile:1: The base image b:1 is for {found}, and {platform} is built"
    ):
        built(factory, planned("FROM b:1\n", platform=platform))


@pytest.mark.parametrize(
    ("platform", "config"),
    [
        ("linux/amd64", {"architecture": "amd64", "os": "linux"}),
        ("linux/amd64", {"architecture": "x86_64", "os": "linux"}),
        ("linux/arm64", {"architecture": "arm64", "os": "linux", "variant": "v8"}),
        ("linux/arm/v7", {"architecture": "arm", "os": "linux", "variant": "v6"}),
        ("linux/arm/v6", {"architecture": "arm", "os": "linux"}),
        ("linux/amd64", {}),
        ("linux/amd64", {"architecture": "", "os": ""}),
    ],
)
def test_a_base_that_fits_or_does_not_say_is_taken_without_a_word(
    factory: Factory, platform: str, config: dict[str, object]
) -> None:
    factory.base_with({}, "1", **config)
    named, _ = built(factory, planned("FROM b:1\n", platform=platform))
    assert "/".join(named.values()) == platform
    assert factory.told.warnings == []


def test_a_base_that_not_every_machine_of_the_platform_runs_is_said(factory: Factory) -> None:
    factory.base_with({}, "1", architecture="amd64", os="linux", variant="v3")
    named, _ = built(factory, planned("FROM b:1\n"))
    assert named == {"os": "linux", "architecture": "amd64"}
    assert factory.told.warnings == [
        "The base image b:1 is for linux/amd64/v3, and linux/amd64 is built: not all machines run it."
    ]


def test_an_index_does_not_say_another_processor_than_its_image(factory: Factory) -> None:
    """`i386/debian` on amd64, which docker takes and warns of."""
    factory.base_with({}, "1", architecture="386", os="linux")
    named, _ = built(factory, planned("FROM b:1\n"))
    assert named == {"os": "linux", "architecture": "386"}
    assert ["linux/386" in warning for warning in factory.told.warnings] == [True]
    named, image = built(factory, planned("FROM b:1\nCOPY a /\n", {"a": "x"}))
    assert (named["architecture"], image.config_json["architecture"]) == ("386", "386")


@pytest.mark.parametrize("platform", ["linux/arm64", "linux/arm/v7"])
def test_an_index_counts_before_the_config_that_it_leads_to(factory: Factory, platform: str) -> None:
    """As cross-built images have it whose tool left the config as it was; docker takes them, and warns."""
    factory.base_with({}, "image", architecture="amd64", os="linux")
    image = factory.bases.manifest("image")
    assert image is not None
    name, architecture, *variant = platform.split("/")
    listed = {"os": name, "architecture": architecture} | ({"variant": variant[0]} if variant else {})
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.data), "platform": listed}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    factory.bases.put_manifest(Manifest(json.dumps(index).encode(), OCI_INDEX), "1")
    warning = (
        f"The base image b:1 calls itself one for linux/amd64; its index names it for {platform}, and that counts."
    )
    for text, warnings in (("FROM b:1\n", [warning]), ("FROM b:1\nCOPY a /\n", [])):
        named, made = built(factory, planned(text, {"a": "x"}, platform=platform))
        assert "/".join(named.values()) == platform == made.platform
        assert factory.told.warnings == warnings


def test_another_processor_s_files_may_be_copied_and_nothing_built_on_them(factory: Factory) -> None:
    factory.base_with({}, "1", architecture="arm64", os="linux")
    copied = planned("FROM scratch\nCOPY --from=b:1 / /\n")
    assert built(factory, copied)[0]["architecture"] == "amd64"
    assert ["is for linux/arm64" in warning for warning in factory.told.warnings] == [True]
    with pytest.raises(Unreachable, match=r"^Dockerfile:2: The image that this is built on is for linux/arm64"):
        built(factory, planned("FROM b:1\nCOPY a /\n", {"a": "x"}))


def packed(plain: bytes, how: str) -> bytes:
    if how == "zstd":
        return subprocess.run(["zstd", "-c"], input=plain, capture_output=True, check=True).stdout
    return gzip.compress(plain, mtime=0) if how == "gzip" else plain


@pytest.mark.parametrize(
    ("media_type", "how", "published"),
    [
        (f"{DOCKER}.zstd", "zstd", f"{OCI}+zstd"),
        (f"{DOCKER}.gzip", "zstd", f"{OCI}+zstd"),
        (f"{DOCKER}.gzip", "tar", OCI),
        (f"{OCI}+zstd", "gzip", f"{OCI}+gzip"),
        (OCI, "gzip", f"{OCI}+gzip"),
        (OCI, "tar", OCI),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip", f"{OCI}+gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd", f"{OCI}+zstd"),
    ],
)
def test_the_bytes_of_a_layer_say_how_it_is_packed(
    factory: Factory, tmp_path: Path, media_type: str, how: str, published: str
) -> None:
    plain = gzip.decompress(layer({"file": "x"}, tmp_path / "layer").path.read_bytes())
    stored = packed(plain, how)
    base(factory, Descriptor(media_type, sha256(stored), len(stored)), plain, stored)
    _, image = built(factory, planned("FROM b:1\nCOPY a /\n", {"a": "x"}))
    assert image.layers[0] == Descriptor(published, sha256(stored), len(stored))


def base(factory: Factory, described: Descriptor, plain: bytes, stored: bytes) -> None:
    """A base of one layer, as `b:1`."""
    diff_id = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    made = image_of({"config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}, [described])
    for data in (made.config, stored):
        factory.bases.put_blob(Blob.of(data))
    factory.bases.put_manifest(made.manifest, "1")


def test_a_base_whose_registry_lacks_a_layer_is_said_to(factory: Factory) -> None:
    plain = b"\0" * 1024
    base(factory, Descriptor(OCI, sha256(plain), len(plain)), plain, plain)
    (factory.bases.directory / "blobs" / sha256(plain).replace(":", "/")).unlink()
    with pytest.raises(BuildFailed, match=f"^Dockerfile:1: The base image b:1 is not whole: .* {sha256(plain)}"):
        built(factory, planned("FROM b:1\n"))
