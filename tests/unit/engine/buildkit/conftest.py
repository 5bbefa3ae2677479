"""A buildkitd that all tests here share, as a farm would be; a store, and a base image made of static busybox."""

from __future__ import annotations

import gzip
import json
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lineal.engine import Command, PushedLayer
from lineal.engine.buildkit.address import parse
from lineal.engine.buildkit.engine import BuildkitEngine
from lineal.oci import Store
from lineal.oci.image import image_of
from lineal.oci.types import OCI_LAYER_GZIP, Blob, Image, Layer, sha256
from lineal.store.layout import Layout
from lineal.store.registry.client import Registry
from tests.differential.buildkit import buildkitd, fast, missing
from tests.unit.engine.docker.conftest import BUSYBOX, base_tar

CONFIG = {"architecture": "amd64", "os": "linux", "config": {}}


@pytest.fixture(scope="session")
def daemon(registry: str) -> Iterator[str]:
    if missing() or not BUSYBOX.exists():
        pytest.skip(missing() or "needs busybox-static")
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True) as short,
        buildkitd(Path(short), registry, *_grants(Path(short))) as running,
    ):
        yield running.address


def _grants(directory: Path) -> list[str]:
    """Flags of a daemon that grants what may be granted, and has a device."""
    edits = {"env": ["GIVEN=a device"]}
    spec = {"cdiVersion": "0.6.0", "kind": "example.com/class", "devices": [{"name": "a", "containerEdits": edits}]}
    (directory / "cdi").mkdir()
    (directory / "cdi" / "device.json").write_text(json.dumps(spec))
    granted = ("network.host", "security.insecure", "device")
    flags = [f"--allow-insecure-entitlement={name}" for name in granted]
    return [*flags, f"--cdi-spec-dir={directory}/cdi"]


def put_image(store: Store, *tars: bytes) -> Image:
    """An image of these uncompressed layers, in the store."""
    layers = []
    for tar in tars:
        packed = gzip.compress(tar, 1, mtime=0)
        store.put_blob(Blob.of(packed))
        layers.append(Layer(Path(), sha256(packed), len(packed), sha256(tar), OCI_LAYER_GZIP))
    document = {**CONFIG, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}}
    return put(store, image_of(document, [layer.descriptor() for layer in layers]))


def put(store: Store, image: Image) -> Image:
    store.put_blob(Blob.of(image.config))
    store.put_manifest(image.manifest)
    return image


@dataclass
class Bench:
    """One base image in its store, an engine and a place for layers."""

    engine: BuildkitEngine
    store: Store
    base: Image
    workspace: Path
    said: list[str] = field(default_factory=list)

    def command(self, script: str, **options: Any) -> Command:
        options = {"env": {"PATH": "/bin"}, "workdir": "/", "user": "", "network": "none"} | options
        return Command(["/bin/sh", "-c", script], **options)

    def run(self, script: str, **options: Any) -> Layer | PushedLayer:
        self.said.clear()
        made = self.engine.run(
            self.base, self.store, self.command(script, **options), self.said.append, self.workspace
        )
        if isinstance(made, PushedLayer):
            made.arrival.result()
        return made

    def tar(self, layer: Layer | PushedLayer) -> bytes:
        """The layer's uncompressed bytes, its own claims checked on the way."""
        if isinstance(layer, Layer):
            packed, digest = layer.path.read_bytes(), layer.digest
        else:
            packed, digest = b"".join(self.store.blob(layer.descriptor.digest)), layer.descriptor.digest
            assert layer.descriptor.size == len(packed)
        data = gzip.decompress(packed)
        assert (sha256(packed), sha256(data)) == (digest, layer.diff_id)
        return data


def bench(daemon: str, store: Store, workspace: Path) -> Bench:
    engine = BuildkitEngine([parse(daemon, "test")], environment={})
    return Bench(engine, store, put_image(store, base_tar()), workspace)


@pytest.fixture
def pushing(daemon: str, registry: str, tmp_path: Path) -> Bench:
    """The store is a registry, to which the daemon pushes."""
    host, name = registry, f"unit-{secrets.token_hex(6)}/app"
    return bench(daemon, Registry(host, name, environ={}), tmp_path)


@pytest.fixture
def layout(daemon: str, tmp_path: Path) -> Bench:
    """The store is a directory: everything goes through the session."""
    return bench(daemon, Layout(tmp_path / "store", "layout:store"), tmp_path)


@pytest.fixture(params=["pushing", "layout"])
def either(request: pytest.FixtureRequest) -> Bench:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Bench)
    return made
