"""The documents that make a stage: image manifest, record, and the index that a stage tag points at (DESIGN §6)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineal.errors import Gone, Unreachable
from lineal.store import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Blob,
    Descriptor,
    Image,
    Manifest,
    Store,
)
from lineal.store.content import is_digest

PREFIX = "dev.lineal."
MAX_CONFIG = 8 << 20
MAX_FILESYSTEM = 64 << 20
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
RECORD = "application/vnd.dev.lineal.record.v1+json"
FILESYSTEM = "application/vnd.dev.lineal.filesystem.v1+json+gzip"

# What Docker pushed is byte for byte what OCI names differently: everything is published as OCI.
_LAYERS = {
    OCI_LAYER: OCI_LAYER,
    OCI_LAYER_GZIP: OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD: OCI_LAYER_ZSTD,
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
}


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def image_of(config: dict[str, Any] | bytes, layers: Sequence[Descriptor]) -> Image:
    """An OCI image: its config (as is when given as bytes) and the manifest that names it and its layers."""
    data = config if isinstance(config, bytes) else encode(config)
    blob = Blob.of(data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, blob.digest, blob.size).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return Image(Manifest(encode(manifest), OCI_MANIFEST), data, tuple(layers))


def read_image(store: Store, reference: str, platform: str) -> Image:
    """The image of `platform` at a tag or digest: an index is resolved, Docker's types are named as OCI's.

    Raises `Gone` when the manifest or its config is missing."""
    manifest = store.manifest(reference)
    if manifest is not None and manifest.is_index:
        manifest = store.manifest(choose(manifest, platform, store.address))
    if manifest is None:
        raise Gone(reference, store.address)
    if manifest.media_type not in (OCI_MANIFEST, DOCKER_MANIFEST):
        raise Unreachable(f"{store.address}@{manifest.digest} is of type {manifest.media_type!r}, not an image.")
    try:
        config = _digest(manifest.json["config"])
        layers = tuple(_layer(entry, store.address) for entry in manifest.json["layers"])
    except (KeyError, TypeError, ValueError):
        raise Unreachable(f"{store.address}@{manifest.digest} is not a valid image manifest.") from None
    image = Image(manifest, read_blob(store, config, MAX_CONFIG), layers)
    try:
        matches = len(image.diff_ids) == len(layers)
    except (ValueError, TypeError, AttributeError, RecursionError):
        matches = False
    if not matches:
        raise Unreachable(f"{store.address}@{manifest.digest} has a config that does not match its layers.")
    return image


def choose(index: Manifest, platform: str, where: str) -> str:
    """The digest of the manifest for `os/architecture[/variant]` in an index."""
    wanted = platform.split("/")
    offered = []
    try:
        for entry in index.json.get("manifests", []):
            found = entry.get("platform") or {}
            name = [found.get("os"), found.get("architecture"), found.get("variant")]
            if name[:2] == wanted[:2] and (len(wanted) < 3 or name[2] in (None, wanted[2])):
                return _digest(entry)
            offered.append("/".join(str(part) for part in name if part))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreachable(f"{where}@{index.digest} is not a valid image index.") from None
    raise Unreachable(
        f"{where}@{index.digest} has no image for {platform}.",
        remedy=f"It offers {', '.join(sorted(set(offered))) or 'nothing'}.",
    )


def _layer(entry: dict[str, Any], where: str) -> Descriptor:
    media_type = str(entry["mediaType"])
    if media_type not in _LAYERS or entry.get("urls"):
        raise Unreachable(f"{where} has a layer of type {media_type!r}, which Lineal cannot take over.")
    return Descriptor(_LAYERS[media_type], _digest(entry), int(entry["size"]))


@dataclass(frozen=True, slots=True)
class Record:
    """What is written beside a stage. `commits` are full ids, `created` is in ms since the epoch."""

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
    """What a stage tag points at: the image and, beside it, its record; annotations repeat what selection needs."""
    named = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
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


def _digest(entry: dict[str, Any]) -> str:
    """A document that names something by a tag, or by a path, is none of ours."""
    digest = entry["digest"]
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError("no sha256 digest")
    return digest


_RECORD_KEYS = ("checksum", "commits", "tree", "branch", "parent", "project", "version")


def image_digest(index: Manifest) -> str:
    """The digest of the image manifest in a stage's index. Raises ValueError, LookupError or TypeError for others."""
    return _digest(index.json["manifests"][0])


def is_stage(index: Manifest) -> bool:
    """Whether an index holds what Lineal puts there: an image and its record."""
    try:
        _ = _digest(index.json["manifests"][0]), _digest(index.json["manifests"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return True


def read_blob(store: Store, digest: str, limit: int) -> bytes:
    """A blob that is kept in memory, of at most `limit` bytes. Raises `Unreachable` for more, `Gone` for none."""
    parts, size = [], 0
    for chunk in store.blob(digest):
        size += len(chunk)
        if size > limit:
            raise Unreachable(f"{digest} in {store.address} is larger than the {limit >> 20} MiB that it may have.")
        parts.append(chunk)
    return b"".join(parts)


def record_descriptors(store: Store, index: Manifest) -> dict[str, Descriptor]:
    """The record's parts by media type. Raises `Gone` when the record is missing."""
    digest = str(index.json["manifests"][1]["digest"])
    manifest = store.manifest(digest)
    if manifest is None:
        raise Gone(digest, store.address)
    try:
        parts = {
            str(entry["mediaType"]): Descriptor(str(entry["mediaType"]), _digest(entry), int(entry["size"]))
            for entry in manifest.json["layers"]
        }
    except (KeyError, TypeError, ValueError):
        parts = {}
    if FILESYSTEM not in parts:
        # Not what Lineal wrote: as good as missing.
        raise Gone(digest, store.address)
    return parts
