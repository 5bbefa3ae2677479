"""The documents that make a stage: image manifest, record, and the index that a stage tag points at (DESIGN §6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lineal.errors import MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.types import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Blob,
    Descriptor,
    Image,
    ImageConfig,
    Manifest,
)
from lineal.oci.verify import check_config, digest_of, size_of

MAX_CONFIG = 8 << 20

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


def image_of(config: ImageConfig | bytes, layers: Sequence[Descriptor]) -> Image:
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

    Raises `MissingContent` when the manifest or its config is missing."""
    manifest = store.manifest(reference)
    if manifest is not None and manifest.is_index:
        manifest = store.manifest(choose(manifest, platform, store.address))
    if manifest is None:
        raise MissingContent(reference, store.address)
    if manifest.media_type not in (OCI_MANIFEST, DOCKER_MANIFEST):
        raise Unreachable(
            f"{store.address}@{manifest.digest} is of type {manifest.media_type!r}, not an image.", id="LN-4021"
        )
    try:
        config = digest_of(manifest.json["config"])
        layers = tuple(_layer(entry, store.address) for entry in manifest.json["layers"])
    except (KeyError, TypeError, ValueError):
        raise Unreachable(f"{store.address}@{manifest.digest} is not a valid image manifest.", id="LN-4021") from None
    image = Image(manifest, read_blob(store, config, MAX_CONFIG), layers)
    try:
        check_config(image.config_json)
        matches = len(image.diff_ids) == len(layers)
    except (ValueError, TypeError, AttributeError, RecursionError):
        matches = False
    if not matches:
        raise Unreachable(
            f"{store.address}@{manifest.digest} has a config that does not match its layers.", id="LN-4021"
        )
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
                return digest_of(entry)
            offered.append("/".join(str(part) for part in name if part))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreachable(f"{where}@{index.digest} is not a valid image index.", id="LN-4021") from None
    raise Unreachable(
        f"{where}@{index.digest} has no image for {platform}.",
        id="LN-4022",
        remedy=f"It offers {', '.join(sorted(set(offered))) or 'nothing'}.",
    )


def _layer(entry: dict[str, Any], where: str) -> Descriptor:
    media_type = str(entry["mediaType"])
    if media_type not in _LAYERS or entry.get("urls"):
        raise Unreachable(f"{where} has a layer of type {media_type!r}, which Lineal cannot take over.", id="LN-4021")
    return Descriptor(_LAYERS[media_type], digest_of(entry), size_of(entry))


def read_blob(store: Store, digest: str, limit: int) -> bytes:
    """A blob that is kept in memory, of at most `limit` bytes. Raises `Unreachable` for more, `MissingContent`
    for none."""
    parts, size = [], 0
    for chunk in store.blob(digest):
        size += len(chunk)
        if size > limit:
            raise Unreachable(
                f"{digest} in {store.address} is larger than the {limit >> 20} MiB that it may have.", id="LN-4021"
            )
        parts.append(chunk)
    return b"".join(parts)
