"""Registries that do less than others, and say so or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.errors import Unreachable
from lineal.oci.image import encode
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.publish.final_repository import FinalRepository
from lineal.store.layout import Layout


class Odd(Layout):
    def tags(self, prefix: str = "") -> list[str]:
        raise Unreachable(f"{self.address} does not allow to list tags{prefix} (status 405).", id="LN-4016")

    def digest(self, reference: str) -> str | None:
        return None if reference == "late" else super().digest(reference)


@pytest.fixture
def final(tmp_path: Path) -> FinalRepository:
    return FinalRepository("layout:final", Odd(tmp_path / "final"), Layout(tmp_path / "store"), "shop")


def image(final: FinalRepository) -> Manifest:
    config = Blob.of(encode({}))
    final.store.put_blob(config)
    descriptor = Descriptor(OCI_CONFIG, config.digest, config.size)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor.to_json(), "layers": []}
    return Manifest(encode(document), OCI_MANIFEST)


def test_one_that_lists_no_tags_can_be_published_to(final: FinalRepository) -> None:
    final.check()
    manifest = image(final)
    assert final.write_once("1.0.0", manifest) == manifest.digest


def test_a_tag_that_is_taken_and_not_there_is_no_other_version(final: FinalRepository) -> None:
    with pytest.raises(Unreachable, match="has taken the tag late and does not show it"):
        final.write_once("late", image(final))
