"""The documents of a published stage: its record, and the index that a stage tag points at (DESIGN §6)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lineal.errors import MissingContent
from lineal.oci import Store
from lineal.oci.image import encode, read_blob
from lineal.oci.types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Blob, Descriptor, Image, Manifest
from lineal.oci.verify import MAX_MANIFEST, digest_of, size_of
from lineal.store.tags import stage_tag

PREFIX = "dev.lineal."

MAX_FILESYSTEM = 64 << 20

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

RECORD = "application/vnd.dev.lineal.record.v1+json"

FILESYSTEM = "application/vnd.dev.lineal.filesystem.v1+json+gzip"


@dataclass(frozen=True, slots=True)
class Record:
    """The facts that are published beside a stage. `commits` are full ids, `created` is in ms since the epoch."""

    checksum: str
    commits: tuple[str, ...]
    tree: str
    branch: str
    created: int
    parent: str
    project: str
    version: str

    def annotations(self) -> dict[str, str]:
        return {
            PREFIX + "branch": self.branch,
            PREFIX + "checksum": self.checksum,
            PREFIX + "commits": " ".join(self.commits),
            PREFIX + "created": str(self.created),
            PREFIX + "parent": self.parent,
            PREFIX + "project": self.project,
            PREFIX + "tree": self.tree,
            PREFIX + "version": self.version,
        }

    @staticmethod
    def read(index: Manifest) -> Record:
        """Raises ValueError when the annotations are not those of a stage."""
        found = index.json.get("annotations")
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise ValueError("an index without annotations")
        try:
            record = Record(
                checksum=found[PREFIX + "checksum"],
                commits=tuple(found[PREFIX + "commits"].split()),
                tree=found[PREFIX + "tree"],
                branch=found.get(PREFIX + "branch", ""),
                created=int(found[PREFIX + "created"]),
                parent=found.get(PREFIX + "parent", ""),
                project=found.get(PREFIX + "project", ""),
                version=found.get(PREFIX + "version", ""),
            )
        except KeyError as missing:
            raise ValueError(f"an index without {missing}") from None
        if not record.commits or not all(_OBJECT.fullmatch(oid) for oid in (*record.commits, record.tree)):
            raise ValueError("an index whose commits are no object ids")
        return record


def record_documents(
    record: Record, inputs: dict[str, Any], filesystem: bytes, subject: str
) -> tuple[tuple[Blob, ...], Manifest]:
    """The record's blobs and its manifest. `inputs` is what the checksum was made of, `filesystem` the encoded
    filesystem index, `subject` the image manifest's digest. Does not depend on `record.created`."""
    facts = {key: getattr(record, key) for key in _RECORD_KEYS}
    document = Blob.of(encode({**facts, "inputs": inputs, "image": subject}))
    files = Blob.of(filesystem)
    # Tools that do not know records see an image for no platform, the shape BuildKit gives its attestations.
    config = Blob.of(
        encode(
            {
                "architecture": "unknown",
                "os": "unknown",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [document.digest, files.digest]},
            }
        )
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [
            Descriptor(RECORD, document.digest, document.size).to_json(),
            Descriptor(FILESYSTEM, files.digest, files.size).to_json(),
        ],
    }
    return (document, files, config), Manifest(encode(manifest), OCI_MANIFEST)


def stage_index(image: Image, record_manifest: Manifest, record: Record, platform: str) -> Manifest:
    """The index that a stage tag points at: the image, and its record. Annotations repeat what selection needs."""
    named = dict(zip(("os", "architecture", "variant"), _platform(image, platform).split("/"), strict=False))
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                **image.manifest.descriptor().to_json(),
                "platform": named,
            },
            {
                **record_manifest.descriptor().to_json(),
                "platform": {"architecture": "unknown", "os": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": image.manifest.digest,
                },
            },
        ],
        "annotations": record.annotations(),
    }
    return Manifest(encode(index), OCI_INDEX)


def _platform(image: Image, built: str) -> str:
    """The platform that was built, unless the image itself is for another processor (386 on amd64)."""
    found = image.platform or built
    return built if found.split("/")[:2] == built.split("/")[:2] else found


_RECORD_KEYS = ("checksum", "commits", "tree", "branch", "parent", "project", "version")


def image_digest(index: Manifest) -> str:
    """The digest of the image manifest in a stage's index. Raises ValueError, LookupError or TypeError for others."""
    return digest_of(index.json["manifests"][0])


def image_platform(index: Manifest) -> dict[str, str]:
    """The platform that a stage's index names its image for. Raises ValueError, LookupError or TypeError for
    others."""
    found = index.json["manifests"][0]["platform"]
    if not isinstance(found, dict) or not all(isinstance(part, str) for part in found.values()):
        raise ValueError("a platform is made of texts")
    return dict(found)


def read_stage(index: Manifest, tag: str, checksum: str) -> tuple[Record, str] | None:
    """The record and the image's digest of the index at a tag; None unless that is a stage of this checksum.

    A stage tag says when it was published: an index there that says something else was put there by others."""
    try:
        record = Record.read(index)
        if record.checksum != checksum or tag not in (checksum, stage_tag(checksum, record.created)):
            return None
        image, _ = digest_of(index.json["manifests"][0]), digest_of(index.json["manifests"][1])
    except (ValueError, LookupError, TypeError):
        return None
    return record, image


def told_image(store: Store, manifest: Manifest) -> str | None:
    """The digest of the image that a record tells of; None for a manifest that is no record."""
    try:
        part = manifest.json["layers"][0]
        if part["mediaType"] != RECORD or size_of(part) > MAX_MANIFEST:
            return None
        document = json.loads(read_blob(store, digest_of(part), MAX_MANIFEST))
        return digest_of({"digest": document["image"]})
    except (ValueError, LookupError, TypeError, RecursionError, MissingContent):
        return None


def record_descriptors(store: Store, index: Manifest) -> dict[str, Descriptor]:
    """The record's parts by media type. Raises `MissingContent` when the record is missing."""
    digest = str(index.json["manifests"][1]["digest"])
    manifest = store.manifest(digest)
    if manifest is None:
        raise MissingContent(digest, store.address)
    try:
        parts = {
            str(entry["mediaType"]): Descriptor(str(entry["mediaType"]), digest_of(entry), size_of(entry))
            for entry in manifest.json["layers"]
        }
    except (KeyError, TypeError, ValueError):
        parts = {}
    if FILESYSTEM not in parts:
        # Not what Lineal wrote: as good as missing.
        raise MissingContent(digest, store.address)
    return parts
