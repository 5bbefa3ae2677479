"""The documents that make a stage: image manifest, record, and the index that a stage tag points at (DESIGN §6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lineal.errors import MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.platform import named, runs
from lineal.oci.types import (
    DOCKER_CONFIG,
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
from lineal.oci.verify import digest_of, size_of

MAX_CONFIG = 8 << 20
MAX_DOCUMENTS = 100
"""Manifests that are read in search of one platform's image."""

# What Docker pushed is byte for byte what OCI names differently: everything is published as OCI. A layer that was not
# to be distributed is one like all others then, as BuildKit makes it.
_LAYERS = {
    f"{base}{sign}{ending}" if ending else base: kind
    for base, sign in (
        (OCI_LAYER, "+"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "+"),
        ("application/vnd.docker.image.rootfs.diff.tar", "."),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", "."),
    )
    for ending, kind in (("", OCI_LAYER), ("gzip", OCI_LAYER_GZIP), ("zstd", OCI_LAYER_ZSTD))
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
    """The image at a tag or digest, out of an index the one that suits `platform` best; Docker's types are named as
    OCI's. An image that is in no index may be for another platform.

    Raises `MissingContent` when the manifest or its config is missing, `Unreachable` when the index has no such
    image."""
    manifest = store.manifest(reference)
    if manifest is None:
        raise MissingContent(reference, store.address)
    return image_in(store, manifest, platform)


def image_in(store: Store, manifest: Manifest, platform: str) -> Image:
    """The same of a manifest or an index that is at hand."""
    if not manifest.is_index:
        return _read(store, manifest)
    choice = _Choice(store, platform)
    image = choice.best(manifest)
    if image is None:
        raise Unreachable(
            f"{store.address}@{manifest.digest} has no image for {platform}.",
            id="LN-4022",
            remedy=f"It offers {', '.join(sorted(choice.offered)) or 'nothing'}.",
        )
    return image


class _Choice:
    """The search for one platform's image in an index and the indexes in it, as containerd does it."""

    def __init__(self, store: Store, platform: str) -> None:
        self._store = store
        self._suitable = list(runs(platform))
        self._left = MAX_DOCUMENTS
        self.offered: set[str] = set()
        """The platforms of images that do not suit."""

    def best(self, index: Manifest) -> Image | None:
        for entry, name in self._entries(index):
            manifest = self._manifest(entry, index)
            if manifest.is_index:
                image = self.best(manifest)
            elif name is not None:
                image = replace(_read(self._store, manifest), listed_as=name)
            else:
                image = self._unnamed(manifest)
            if image is not None:
                return image
        return None

    def _entries(self, index: Manifest) -> list[tuple[dict[str, Any], str | None]]:
        """What the index leads to and may suit, with its platform: the best first, what names none last."""
        found = []
        try:
            for entry in index.json["manifests"]:
                name = named(entry.get("platform") or {})
                if name in self._suitable or (name is None and not _is_other(entry)):
                    found.append((entry, name))
                elif name is not None and not name.startswith("unknown/"):
                    self.offered.add(name)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._invalid(index) from None
        return sorted(found, key=lambda one: self._suitable.index(one[1]) if one[1] else len(self._suitable))

    def _manifest(self, entry: dict[str, Any], index: Manifest) -> Manifest:
        self._left -= 1
        if not self._left:
            raise Unreachable(
                f"{self._store.address} has an index that leads to more than {MAX_DOCUMENTS} documents.", id="LN-4021"
            )
        try:
            digest = digest_of(entry)
        except (KeyError, TypeError, ValueError):
            raise self._invalid(index) from None
        manifest = self._store.manifest(digest)
        if manifest is None:
            raise MissingContent(digest, self._store.address)
        return manifest

    def _unnamed(self, manifest: Manifest) -> Image | None:
        """The image of an entry that names no platform, when its config names a suitable one, or none either."""
        try:
            if manifest.json["config"]["mediaType"] not in (OCI_CONFIG, DOCKER_CONFIG):
                return None
            image = _read(self._store, manifest)
            name = image.platform
        except (KeyError, TypeError, ValueError):
            return None
        if name is None or name in self._suitable:
            return image
        self.offered.add(name)
        return None

    def _invalid(self, index: Manifest) -> Unreachable:
        return Unreachable(f"{self._store.address}@{index.digest} is not a valid image index.", id="LN-4021")


def _is_other(entry: dict[str, Any]) -> bool:
    """Whether an index's entry without a platform says that it is no image, but an attestation or an artifact."""
    return bool(entry.get("artifactType") or (entry.get("annotations") or {}).get("vnd.docker.reference.type"))


def _read(store: Store, manifest: Manifest) -> Image:
    from lineal.oci.config import check_config

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


def _layer(entry: dict[str, Any], where: str) -> Descriptor:
    media_type = str(entry["mediaType"])
    if media_type not in _LAYERS:
        raise Unreachable(f"{where} has a layer of type {media_type!r}, which Lineal cannot take over.", id="LN-4021")
    return Descriptor(_LAYERS[media_type], digest_of(entry), size_of(entry))


def content(store: Store, part: Descriptor) -> Iterator[bytes]:
    """A blob in chunks, which ends at the size that its descriptor names, and has it. Raises `Unreachable` and
    `MissingContent`."""
    left = part.size
    for chunk in store.blob(part.digest):
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        found = f"{part.size - left} bytes" if left > 0 else "more bytes"
        raise Unreachable(
            f"{part.digest} in {store.address} has {found} instead of the {part.size} that its manifest names.",
            id="LN-4021",
            remedy="Push the image again; if it has the same size then, its registry cannot be trusted.",
        )


def unreadable(number: int, reason: object) -> Unreachable:
    """For a layer, from 0, that cannot be unpacked; `reason` is the end of the sentence."""
    return Unreachable(
        f"Layer {number} of the image cannot be read: {reason}.", id="LN-5017",
        remedy="Take another version of that image, or make it anew.",
    )  # fmt: skip


@contextmanager
def whole() -> Iterator[None]:
    """While an image is read from its store: what is missing there means that it has to be built again. Raises
    `Unreachable`."""
    try:
        yield
    except MissingContent as error:
        what = f"An image is not whole in the store: {error.message}"
        raise Unreachable(what, id="LN-4035", remedy="Change its `cache_version` to build it again.") from None


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
