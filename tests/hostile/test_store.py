"""Documents of a registry or a layout that want to be a trap: manifests, indexes, configs, records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.assemble.filesystem import Filesystem
from lineal.build.image_config import copy_of, taken_over
from lineal.dockerfile import metadata
from lineal.oci.image import MAX_CONFIG, encode, image_of, read_blob, read_image
from lineal.oci.types import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Image, Manifest
from lineal.oci.verify import read_manifest
from lineal.store.copy import copy_image
from lineal.store.layout import Layout
from lineal.store.layout_index import INDEX
from lineal.store.record import FILESYSTEM, Record, read_stage, record_documents, record_parts, stage_index
from lineal.store.registry.response import codes
from tests.hostile.bounds import answer
from tests.hostile.inputs import changed, json_bytes
from tests.unit.stages.workbench import MemoryStore, planned, stages

CHECKSUM = "c" * 64
RECORD = Record(CHECKSUM, ("1" * 40,), "2" * 40, "main", 1_700_000_000_000, "", "shop", "0.1.0")
CONFIG = {
    "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z", "author": "a",
    "config": {"Env": ["PATH=/bin"], "Labels": {"a": "b"}, "WorkingDir": "/", "User": "1",
               "ExposedPorts": {"80/tcp": {}},
               "Volumes": {"/v": {}}, "StopSignal": "SIGTERM", "Cmd": ["a"], "Entrypoint": ["b"], "Shell": ["c"],
               "Healthcheck": {"Test": ["NONE"]}, "OnBuild": []},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "3" * 64]},
    "history": [{"created_by": "x"}],
}  # fmt: skip
LAYER = Descriptor(OCI_LAYER_GZIP, "sha256:" + "4" * 64, 5)
IMAGE = image_of(CONFIG, [LAYER])
BLOBS, RECORDS = record_documents(RECORD, {"a": 1}, Filesystem.empty().encode(), IMAGE.manifest.digest)
STAGE = stage_index(IMAGE, RECORDS, RECORD, "linux/amd64")
STEPS = """FROM base:1
ENV A=$A B=1
LABEL a=b
WORKDIR x
USER 1
EXPOSE 80
VOLUME /x
STOPSIGNAL SIGTERM
CMD a
ENTRYPOINT a
HEALTHCHECK CMD a
ONBUILD RUN a
SHELL ["a"]
MAINTAINER a
"""
METADATA = [meta for stage in stages(planned(STEPS)) for meta in stage.metadata]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def put(store: MemoryStore, data: bytes, media_type: str, tag: str = "1") -> Manifest | None:
    """As a registry answers; None where that is refused already."""
    manifest = answer(lambda: read_manifest(data, media_type, [], "registry.test"))
    if manifest is not None:
        store.manifests[manifest.digest] = manifest
        store.tagged[tag] = manifest.digest
    return manifest


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(json_bytes(IMAGE.manifest.json), st.sampled_from([OCI_MANIFEST, "", OCI_INDEX, "x/y"]))
@example(IMAGE.manifest.data.replace(b'"size":5', b'"size":1e999'), OCI_MANIFEST)
def test_a_manifest_is_an_image_or_refused(folder: Path, data: bytes, media_type: str) -> None:
    store = MemoryStore()
    store.blobs = {Descriptor("", str(IMAGE.manifest.json["config"]["digest"]), 0).digest: IMAGE.config}
    if put(store, data, media_type) is not None:
        answer(lambda: read_image(store, "1", "linux/amd64"))
        answer(lambda: copy_image(store.tagged["1"], "1", store, MemoryStore()))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(json_bytes(STAGE.json), st.sampled_from(["linux/amd64", "linux/arm64/v8", "x"]))
def test_an_index_is_a_stage_or_none(data: bytes, platform: str) -> None:
    store = MemoryStore()
    index = put(store, data, OCI_INDEX)
    if index is None:
        return
    for manifest in (IMAGE.manifest, RECORDS):
        store.manifests[manifest.digest] = manifest
    answer(lambda: read_image(store, "1", platform))
    found = answer(lambda: read_stage(index, CHECKSUM, CHECKSUM))
    if found is not None:
        assert found[0].checksum == CHECKSUM
        answer(lambda: record_parts(store, index))


@settings(max_examples=80)
@given(json_bytes(RECORDS.json))
def test_the_manifest_of_a_record_has_its_parts_or_counts_as_missing(data: bytes) -> None:
    store = MemoryStore()
    manifest = put(store, data, OCI_MANIFEST)
    if manifest is None:
        return
    index = json.loads(STAGE.data)
    index["manifests"][1]["digest"] = manifest.digest
    found = answer(lambda: record_parts(store, Manifest(encode(index), OCI_INDEX)))
    assert found is None or FILESYSTEM in found


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(json_bytes(CONFIG))
@example(json.dumps({**CONFIG, "config": []}).encode())
@example(json.dumps({**CONFIG, "config": {"Env": [1]}}).encode())
@example(json.dumps({**CONFIG, "history": 5}).encode())
def test_a_config_of_a_base_can_be_built_on_or_is_refused(data: bytes) -> None:
    store = MemoryStore()
    image = image_of(data, [LAYER])
    store.blobs = {str(image.manifest.json["config"]["digest"]): data}
    put(store, image.manifest.data, OCI_MANIFEST)
    found = answer(lambda: read_image(store, "1", "linux/amd64"))
    if found is not None:
        answer(lambda: built_on(found))


def built_on(base: Image) -> None:
    """What a build does with the config of a base."""
    assert len(base.diff_ids) == 1 and (base.config_json.get("config") or {}).get("OnBuild") in (None, [])
    taken_over(base, "base:1")
    document = copy_of(base)
    for meta in METADATA:
        metadata.apply(document, meta, lambda word: word if isinstance(word, str) else word.finish({"A": "1"}))
    document["history"].append({})
    document["rootfs"]["diff_ids"].append(LAYER.digest)
    assert all(isinstance(entry, str) for entry in document["config"]["Env"])
    image_of(document, [LAYER, LAYER])


@settings(max_examples=80)
@given(
    changed(json.loads(gzip.decompress(Filesystem.empty().encode()))).map(
        lambda value: gzip.compress(json.dumps(value).encode())
    )
)
def test_a_filesystem_index_is_read_or_refused(data: bytes) -> None:
    answer(lambda: Filesystem.decode(data))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_bytes({"schemaVersion": 2, "manifests": [{**STAGE.descriptor().to_json(), "annotations": {
    "org.opencontainers.image.ref.name": "1"}}]}))  # fmt: skip
def test_the_index_of_a_layout_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "oci-layout").write_text("{}")
    (tmp_path / INDEX).write_bytes(data)
    layout = Layout(tmp_path)
    answer(layout.tags)
    answer(lambda: layout.manifest("1"))


@settings(max_examples=100)
@given(json_bytes({"errors": [{"code": "DENIED", "message": "no", "detail": None}]}))
def test_an_error_of_a_registry_is_quoted_or_left_out(data: bytes) -> None:
    code, message = codes(data)
    assert message.isprintable() and len(code) <= 200


def test_a_config_without_an_end_is_refused() -> None:
    store = MemoryStore()
    store.blob = lambda digest: (bytes(1 << 20) for _ in range(1 << 20))  # type: ignore[method-assign]
    assert answer(lambda: read_blob(store, "sha256:" + "0" * 64, MAX_CONFIG)) is None
