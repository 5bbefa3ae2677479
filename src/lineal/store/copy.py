"""Copies an image from one store to another: blobs are mounted within a registry, and streamed between registries
without a detour over the disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from lineal.errors import DeployFailed, MissingContent, Unreachable
from lineal.oci import Conflict, Store
from lineal.oci.image import content
from lineal.oci.types import Blob, Descriptor, Manifest
from lineal.oci.verify import is_digest, size_of
from lineal.value import dataclass

_AT_ONCE = 4
_DEEPEST = 4
_MOST = 1000
"""Documents that one tag may lead to."""


@dataclass(slots=True)
class CopyStats:
    """Blobs that were there already, mounted and streamed, and the streamed bytes."""

    there: int = 0
    mounted: int = 0
    streamed: int = 0
    size: int = 0


def copy_image(digest: str, tag: str, source: Store, target: Store) -> CopyStats:
    """Afterwards `tag` is `digest` in `target`, byte for byte.

    Raises `DeployFailed` when the source lacks something, or the tag is another image in the target."""
    there = target.digest(tag)
    if there is not None and there != digest:
        raise _taken(target, tag, there)
    stats = CopyStats()
    if there is not None:
        return stats
    try:
        manifests = list(_manifests(source, digest, 0, set()))
        blobs = {blob.digest: blob for manifest in manifests for blob in blobs_of(manifest, source)}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for how, size in pool.map(lambda blob: carry(blob, source, target), blobs.values()):
                setattr(stats, how, getattr(stats, how) + 1)
                stats.size += size
        for manifest in manifests[:-1]:
            target.put_manifest(manifest)
        target.put_manifest(manifests[-1], tag)
    except MissingContent as error:
        what = f"The image {source.address}@{digest} is not whole: {error.digest} is missing."
        raise DeployFailed(
            what, id="LN-7007", remedy="Build its commit again, and publish the bundle again."
        ) from None
    except Conflict:
        raise _taken(target, tag, "another one") from None
    if target.digest(tag) != digest:
        raise _taken(target, tag, "another one")
    return stats


def _manifests(source: Store, digest: str, depth: int, seen: set[str]) -> Iterator[Manifest]:
    """The manifests below a digest, each once and before those that refer to it."""
    if digest in seen:
        return
    if len(seen) == _MOST:
        raise Unreachable(f"{source.address} has an index that leads to more than {_MOST} documents.", id="LN-4021")
    seen.add(digest)
    manifest = source.manifest(digest)
    if manifest is None:
        raise MissingContent(digest, source.address)
    if manifest.is_index:
        if depth == _DEEPEST:
            raise Unreachable(f"{source.address}@{digest} is an index of indexes without end.", id="LN-4021")
        for child in manifest.references:
            if not is_digest(child):
                raise Unreachable(f"{source.address}@{digest} refers to something without a digest.", id="LN-4021")
            yield from _manifests(source, child, depth + 1, seen)
    yield manifest


def blobs_of(manifest: Manifest, source: Store) -> Iterator[Descriptor]:
    """The config and the layers of an image in `source`; nothing for an index. Raises `Unreachable`."""
    if manifest.is_index:
        return
    for part in [manifest.json.get("config"), *manifest.json.get("layers", [])]:
        try:
            found = Descriptor(str(part["mediaType"]), part["digest"], size_of(part))
        except (TypeError, KeyError, ValueError):
            raise Unreachable(
                f"{source.address}@{manifest.digest} is not a valid image manifest.", id="LN-4021"
            ) from None
        if not isinstance(found.digest, str) or not is_digest(found.digest):
            raise Unreachable(
                f"{source.address}@{manifest.digest} refers to something without a digest.", id="LN-4021"
            )
        yield found


def carry(blob: Descriptor, source: Store, target: Store) -> tuple[str, int]:
    """Bring a blob into `target`: how it got there, as `CopyStats` counts it, and the bytes that were sent."""
    if target.has_blob(blob.digest):
        return "there", 0
    if target.mount_blob(blob, source):
        return "mounted", 0
    target.put_blob(Blob(blob.digest, blob.size, lambda: content(source, blob)))
    return "streamed", blob.size


def _taken(target: Store, tag: str, there: str) -> DeployFailed:
    what = f"The tag {tag} in {target.address} is {there} already, and a published tag never moves."
    return DeployFailed(what, id="LN-7008", remedy="Copy to another repository.")
