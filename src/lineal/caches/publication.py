"""A snapshot in the store: an index with a tag of its own, of the same shape as a stage's.

In place of the image it has a manifest of the snapshot's parts, beside it the same record, marked and signed as that
of a stage: whoever judges stages judges snapshots. No tag ever moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lineal.caches.key import CacheKey
from lineal.caches.snapshot import CONFIG, INDEX, MAX_INDEX, Broken, Snapshot, descriptor
from lineal.errors import LinealError, Unreachable
from lineal.oci import Conflict, Store
from lineal.oci.image import encode
from lineal.oci.types import OCI_INDEX, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.oci.verify import digest_of, size_of
from lineal.store.record import (
    INLINE,
    PREFIX,
    Part,
    Record,
    Sign,
    image_digest,
    index_document,
    part,
    record_documents,
)
from lineal.store.statement import Making
from lineal.store.tags import LAST, cache_tag

_SIZE, _ID = PREFIX + "cache.size", PREFIX + "cache.id"
_TRIES = 8
_PLACE = b"{}\n"
"""What stands where a stage's record has its filesystem index."""


@dataclass(frozen=True)
class Publishing:
    """How a run publishes: what it says of itself (`record`), and how it vouches for that."""

    store: Store
    record: Record
    marked: Callable[[Manifest], Manifest]
    sign: Sign | None
    making: Making
    digits: int
    """0 to 999: the end of the run's timestamps, as of stages."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the manifest of a snapshot says of it."""

    index: Part
    stored: int
    """Bytes in the store."""
    size: int
    """Bytes of its files, as its publisher says."""


def publish(key: CacheKey, snapshot: Snapshot, by: Publishing, after: int = 0) -> tuple[str, int]:
    """The tag, and the bytes that went to the store beside the packs, which are there. Raises `Unreachable`.

    `after` is the timestamp of the snapshot that it was made of: of runs within a second, the clock does not tell
    which was later."""
    index, config = Blob.of(snapshot.encode()), Blob.of(encode(key.inputs()))
    alone = [index] if index.size > INLINE else []
    manifest = _manifest(key, snapshot, index, config)
    record = replace(by.record, checksum=key.text)
    store = by.store
    blobs, record_manifest = record_documents(
        record, key.inputs(), _PLACE, manifest.digest, key.platform, by.making, by.sign, store.now()
    )
    for blob in (*alone, config, *blobs):
        store.put_blob(blob)
    for one in (manifest, record_manifest):
        store.put_manifest(one)
    for number in range(_TRIES):
        dated = replace(record, created=_stamp(max(store.now(), after + 1) + number * 1000, by.digits))
        document = index_document(manifest.descriptor(), key.platform, record_manifest.descriptor(), dated)
        found = by.marked(Manifest(encode(document), OCI_INDEX))
        tag = cache_tag(key.text, dated.created)
        try:
            if store.digest(tag) is None and store.try_tag(found, tag):
                return tag, sum(blob.size for blob in alone) + len(manifest.data) + len(found.data)
        except Conflict:
            continue
    raise Unreachable(
        f"{store.address} did not take a tag for a snapshot of a cache in {_TRIES} tries.",
        id="LN-4027",
        remedy="Look at the registry's own log, and run the job again: nothing that is published is lost.",
    )


def read_record(index: Manifest, tag: str, key: str) -> Record | None:
    """The record of the index at a tag; None unless that is a snapshot of this cache."""
    try:
        record = Record.read(index)
        if record.checksum != key or tag != cache_tag(key, record.created):
            return None
        _ = digest_of(index.json["manifests"][0]), digest_of(index.json["manifests"][1])
    except (ValueError, LookupError, TypeError):
        return None
    return record


def read_parts(store: Store, index: Manifest) -> Parts:
    """Raises `Broken`, and `Unreachable` for a store that does not answer."""
    manifest = store.manifest(image_digest(index))
    if manifest is None:
        raise Broken("it is gone from the store")
    try:
        kind = manifest.json["config"]["mediaType"]
        first, *packs = manifest.json["layers"]
        said = Part.of(first)
        if kind != CONFIG or said.descriptor.media_type != INDEX:
            raise Broken("another version of Lineal made it")
        stored = said.descriptor.size + sum(size_of(one) for one in packs)
        size = int(manifest.json.get("annotations", {}).get(_SIZE, 0))
        return Parts(said, stored, max(size, 0))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Broken("its manifest cannot be read") from error


def read_snapshot(store: Store, parts: Parts) -> Snapshot:
    """Raises `Broken`, also for a store that does not answer."""
    if parts.index.descriptor.size > MAX_INDEX:
        raise Broken("its index is too large")
    try:
        return Snapshot.decode(parts.index.read(store, parts.index.descriptor.size))
    except LinealError as error:
        raise Broken(f"its index cannot be read: {error.message.rstrip('.')}") from error


def _manifest(key: CacheKey, snapshot: Snapshot, index: Blob, config: Blob) -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(CONFIG, config.digest, config.size).to_json(),
        "layers": [
            part(INDEX, index, {}, {}),
            *(descriptor(pack).to_json() for pack in snapshot.packs),
        ],
        "annotations": {_ID: key.id, _SIZE: str(snapshot.size)},
    }
    return Manifest(encode(document), OCI_MANIFEST)


def _stamp(least: int, digits: int) -> int:
    return min(least + (digits - least) % 1000, LAST)
