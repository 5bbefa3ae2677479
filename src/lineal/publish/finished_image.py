"""A finished image of one platform: the image of its last stage as a plain manifest, with OCI annotations.

It is a function of the published stage and of the configuration alone, so that every commit that changes nothing in
an image has the same digest for it, on every machine. What belongs to one commit is in tags."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lineal.config.filters import semver
from lineal.oci.image import encode
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.store.record import Record

if TYPE_CHECKING:
    from lineal.dockerfile.stage import Stage

_KEYS = "org.opencontainers.image."
_LABELS = tuple(_KEYS + name for name in ("authors", "documentation", "licenses", "url", "vendor"))
"""Labels of a Dockerfile that are told as annotations too: they are not of the one commit, nor of the one image."""


def finished_image(
    stage: Manifest, record: Record, name: str, page: str | None, given: Mapping[str, str]
) -> Manifest:
    """The manifest of the finished image `name`. `stage` is the image manifest of its last stage, `record` what was
    published beside it, `page` the address of the project's source, without credentials; `given` are annotations that
    win, an empty one is left out."""
    annotations = {**annotations_of(record, name, page), **given}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": stage.json["config"],
        "layers": stage.json["layers"],
        "annotations": {key: annotations[key] for key in sorted(annotations) if annotations[key]},
    }
    return Manifest(encode(document), OCI_MANIFEST)


def labels_of(stage: Stage) -> dict[str, str]:
    """The labels of an image, by its last stage, that are annotations too: those that Dockerfiles of the commit give
    it, as far as their text is known without the base image."""
    found: dict[str, str] = {}
    for part in reversed(list(stage.chain())):
        for label in (one for one in part.metadata if one.name == "LABEL"):
            for key, value in zip(label.words[0::2], label.words[1::2], strict=True):
                if key in _LABELS and isinstance(value, str):
                    found[str(key)] = value
                elif key in _LABELS:
                    found.pop(str(key), None)
    return found


def annotations_of(record: Record, name: str, page: str | None) -> dict[str, str]:
    """What is known of an image: they tell of the commit that it was first built for (of a pull request's merge, its
    head). A version is told when that was built for a tag that is one. What nobody vouches for is not told."""
    created = datetime.fromtimestamp(record.created // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = {
        "created": created if record.created else "",
        "revision": next(reversed(record.commits), ""),
        "title": name,
        "version": semver(record.branch) or "",
        "source": page or "",
        "url": page or "",
    }
    return {_KEYS + key: text for key, text in found.items() if text}
