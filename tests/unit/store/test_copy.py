"""A tag from one store to another: whole, once, and with a limit to what a stranger's index may ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.errors import Unreachable
from lineal.oci.types import OCI_INDEX, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.store.copy import copy_image
from lineal.store.layout import Layout


class Counted(Layout):
    """Remembers what was fetched."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.fetched: list[str] = []

    def manifest(self, reference: str) -> Manifest | None:
        self.fetched.append(reference)
        return super().manifest(reference)


def put(store: Layout, media_type: str, **fields: object) -> str:
    made = Manifest(json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}).encode(), media_type)
    store.put_manifest(made)
    return made.digest


def image(store: Layout, number: int = 0) -> str:
    config = Blob.of(b"{}")
    store.put_blob(config)
    told = Descriptor("application/vnd.oci.image.config.v1+json", config.digest, config.size).to_json()
    return put(store, OCI_MANIFEST, config=told, layers=[], annotations={"number": str(number)})


def index(store: Layout, children: list[str], name: str = "") -> str:
    entries = [{"mediaType": OCI_INDEX, "digest": child, "size": 1} for child in children]
    return put(store, OCI_INDEX, manifests=entries, annotations={"name": name})


def test_documents_that_name_each_other_are_fetched_once(tmp_path: Path) -> None:
    source, target = Counted(tmp_path / "source"), Layout(tmp_path / "target")
    digest = image(source)
    for level in range(4):
        digest = index(source, [digest] * 20, str(level))
    source.fetched.clear()
    copy_image(digest, "tag", source, target)
    assert len(source.fetched) == 5
    assert target.digest("tag") == digest


def test_an_index_has_a_limit(tmp_path: Path) -> None:
    source, target = Counted(tmp_path / "source"), Layout(tmp_path / "target")
    digest = index(source, [image(source, number) for number in range(1001)])
    with pytest.raises(Unreachable, match="leads to more than 1000 documents"):
        copy_image(digest, "tag", source, target)
    assert target.digest("tag") is None
