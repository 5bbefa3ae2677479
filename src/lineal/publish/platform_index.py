"""A finished image of several platforms: an index over one finished image for each, in the order of lineal.yaml.

It is a function of its parts and of the configuration alone: whichever run makes it, it has the same digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineal.oci.image import encode
from lineal.oci.platform import fields
from lineal.oci.types import OCI_INDEX, Image, Manifest
from lineal.publish.finished_image import annotations_of
from lineal.store.record import Record


@dataclass(frozen=True, slots=True)
class Part:
    """The finished image of one platform: its manifest, the platform as an index names it, and the record of its last
    stage."""

    manifest: Manifest
    platform: Mapping[str, str]
    record: Record


@dataclass(frozen=True, slots=True)
class Finished:
    """`manifest` is what tags name: an image, or the index over `parts`, each by the name of its platform."""

    manifest: Manifest
    parts: Mapping[str, Manifest]

    @property
    def images(self) -> tuple[Manifest, ...]:
        return tuple(self.parts.values())


def finished(parts: Mapping[str, Part], name: str, page: str | None, given: Mapping[str, str]) -> Finished:
    """The image `name`: its only part, or an index. For `page` and `given` see `finished_image`."""
    manifests = {platform: part.manifest for platform, part in parts.items()}
    if len(parts) == 1:
        return Finished(next(iter(manifests.values())), manifests)
    return Finished(_index([*parts.values()], name, page, given), manifests)


def plain_index(images: Sequence[Image]) -> Manifest:
    """An index over images that are not finished."""
    entries = [_entry(image.manifest, fields(image.platform or "")) for image in images]
    return Manifest(encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}), OCI_INDEX)


def _entry(manifest: Manifest, platform: Mapping[str, str]) -> dict[str, Any]:
    return {**manifest.descriptor().to_json(), "platform": dict(platform)}


def _index(parts: Sequence[Part], name: str, page: str | None, given: Mapping[str, str]) -> Manifest:
    # It is there since its last part is.
    last = max((part.record for part in parts), key=lambda record: (record.created, record.checksum))
    annotations = {**annotations_of(last, name, page), **given}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_entry(part.manifest, part.platform) for part in parts],
        "annotations": {key: annotations[key] for key in sorted(annotations) if annotations[key]},
    }
    return Manifest(encode(document), OCI_INDEX)
