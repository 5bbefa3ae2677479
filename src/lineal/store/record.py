"""The documents of a published stage: its record, and the index that a stage tag points at (DESIGN §6)."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any

from lineal.errors import MissingContent
from lineal.oci import Store
from lineal.oci.image import encode, read_blob
from lineal.oci.platform import fields
from lineal.oci.types import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Blob, Descriptor, Image, Manifest, sha256
from lineal.oci.verify import digest_of, size_of
from lineal.regex import regex
from lineal.store.statement import PROVENANCE, STATEMENT, Making, StageStatement
from lineal.store.tags import open_anchor_tag, stage_tag
from lineal.value import dataclass

PREFIX = "dev.lineal."

MAX_FILESYSTEM = 64 << 20

PREDICATE = "in-toto.io/predicate-type"
"""The annotation by which tools find statements of a kind."""

NOTHING = Making()

_OBJECT = regex(r"[0-9a-f]{40}|[0-9a-f]{64}")

_DURATIONS = regex(r"\d{1,9}( \d{1,9})*", re.ASCII)

RECORD = "application/vnd.dev.lineal.record.v1+json"
"""The document of a record of version 1: facts and inputs. In version 2 it is a statement."""

FILESYSTEM = "application/vnd.dev.lineal.filesystem.v1+json+gzip"

SIGNATURES = PREFIX + "signatures"
"""The annotation of a statement's descriptor that has its signatures (`lineal.trust.envelope`)."""

MAX_STATEMENT = 16 << 20

INLINE = 32 << 10
"""Bytes of a part that stands in the record's manifest itself: nobody has to upload or fetch it."""

CONTENT, TYPE = PREFIX + "content", PREFIX + "type"
"""The annotations of a descriptor of nothing that have a part: its bytes in base64, and its media type."""

EMPTY = Blob.of(b"{}")
"""What such a descriptor names, OCI's empty blob: registries look whether there is something."""

_INLINED = Descriptor(OCI_EMPTY, EMPTY.digest, EMPTY.size)

_BESIDE = Blob.of(b'{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}')
"""The config of every record. Tools that do not know records see an image for no platform, as BuildKit's attestations
are."""


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
    beside: frozenset[str] = frozenset()
    """What the stage was made with and no checksum holds: only a commit that has all of it uses the stage."""
    durations: tuple[int, ...] = ()
    """Milliseconds that the stage, and each stage that it is made of, took to make (`lineal.stages.durations`)."""

    def annotations(self) -> dict[str, str]:
        beside = {PREFIX + "beside": " ".join(sorted(self.beside))} if self.beside else {}
        durations = {PREFIX + "durations": " ".join(map(str, self.durations))} if self.durations else {}
        return {
            **beside,
            PREFIX + "branch": self.branch,
            PREFIX + "checksum": self.checksum,
            PREFIX + "commits": " ".join(self.commits),
            PREFIX + "created": str(self.created),
            **durations,
            PREFIX + "parent": self.parent,
            PREFIX + "project": self.project,
            PREFIX + "tree": self.tree,
            PREFIX + "version": self.version,
        }

    def without_claims(self) -> Record:
        """As `StageStatement.without_claims`."""
        return replace(self, commits=(), tree="", branch="", created=0, project="", durations=())

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
                beside=frozenset(found.get(PREFIX + "beside", "").split()),
                durations=_durations(found.get(PREFIX + "durations", "")),
            )
        except KeyError as missing:
            raise ValueError(f"an index without {missing}") from None
        if not record.commits or not all(_OBJECT.fullmatch(oid) for oid in (*record.commits, record.tree)):
            raise ValueError("an index whose commits are no object ids")
        return record


def _durations(text: str) -> tuple[int, ...]:
    """None of a text that Lineal does not write: a stage is as good without."""
    return tuple(map(int, text.split())) if _DURATIONS.fullmatch(text) else ()


Sign = Callable[[bytes], str]
"""The signatures of a statement, as they stand in `SIGNATURES`."""


def record_documents(
    record: Record, inputs: Mapping[str, Any], filesystem: bytes, image: Image | str, platform: str = "",
    making: Making = NOTHING, sign: Sign | None = None, now: int | None = None,
) -> tuple[tuple[Blob, ...], Manifest]:  # fmt: skip
    """The blobs that a record needs, and its manifest. `inputs` is what the checksum was made of, `filesystem` the
    encoded filesystem index, `image` the image, or the digest of its manifest. Does not depend on
    `record.created`, nor on `record.durations` of what is not signed: what is lost can be made again as it was."""
    subject = image if isinstance(image, str) else image.manifest.digest
    files = Blob.of(filesystem)
    said = StageStatement(
        **{key: getattr(record, key) for key in _RECORD_KEYS},
        image=subject,
        platform=platform if isinstance(image, str) else _platform(image, platform),
        filesystem=files.digest,
        inputs=inputs,
        making=making,
        finished=now if sign else None,
        durations=record.durations if sign else (),
    )
    statement = Blob.of(said.encode())
    signatures = {SIGNATURES: sign(_bytes(statement))} if sign else {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, _BESIDE.digest, _BESIDE.size).to_json(),
        "layers": [
            part(STATEMENT, statement, {PREDICATE: PROVENANCE}, signatures), part(FILESYSTEM, files, {}, {}),
        ],
    }  # fmt: skip
    large = [blob for blob in (statement, files) if blob.size > INLINE]
    return (_BESIDE, *([EMPTY] if len(large) < 2 else []), *large), Manifest(encode(manifest), OCI_MANIFEST)


CONSTANT = frozenset((_BESIDE.digest, EMPTY.digest))
"""What is the same in every record: a store that has a record with it need not be given it again."""


def constants(record_manifest: Manifest) -> frozenset[str]:
    """Those that a record in a store names."""
    try:
        return CONSTANT.intersection(record_manifest.references)
    except (TypeError, ValueError, AttributeError):
        return frozenset()


def part(media_type: str, blob: Blob, alone: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """A part of a record's manifest, with its content if that is small: then its blob is `EMPTY`. `alone` has
    annotations of one that is a blob of its own."""
    if blob.size <= INLINE:
        inline = {CONTENT: b64encode(_bytes(blob)).decode(), TYPE: media_type}
        return {**_INLINED.to_json(), "annotations": {**annotations, **inline}}
    found, all_ = Descriptor(media_type, blob.digest, blob.size).to_json(), {**annotations, **alone}
    return found | ({"annotations": all_} if all_ else {})


def _bytes(blob: Blob) -> bytes:
    assert isinstance(blob.content, bytes)
    return blob.content


def stage_index(image: Image, record_manifest: Manifest, record: Record, platform: str) -> Manifest:
    """The index that a stage tag points at: the image, and its record. Annotations repeat what selection needs."""
    described = image.manifest.descriptor()
    return Manifest(
        encode(index_document(described, _platform(image, platform), record_manifest.descriptor(), record)), OCI_INDEX
    )


def index_document(image: Descriptor, platform: str, record_manifest: Descriptor, record: Record) -> dict[str, Any]:
    """The whole index of a stage as JSON."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                **image.to_json(),
                "platform": fields(platform),
            },
            {
                **record_manifest.to_json(),
                "platform": {"architecture": "unknown", "os": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": image.digest,
                },
            },
        ],
        "annotations": record.annotations(),
    }


def _platform(image: Image, built: str) -> str:
    """The platform that was built, unless the image itself is for another processor (386 on amd64)."""
    found = image.platform or built
    return built if found.split("/")[:2] == built.split("/")[:2] else found


_RECORD_KEYS = ("checksum", "commits", "tree", "branch", "parent", "project", "version", "beside")


def image_digest(index: Manifest) -> str:
    """The digest of the image manifest in a stage's index. Raises ValueError, LookupError or TypeError for others."""
    return digest_of(index.json["manifests"][0])


def record_digest(index: Manifest) -> str:
    """The same of the record."""
    return digest_of(index.json["manifests"][1])


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
        names = (checksum, open_anchor_tag(checksum), stage_tag(checksum, record.created))
        if record.checksum != checksum or tag not in names:
            return None
        image, _ = digest_of(index.json["manifests"][0]), digest_of(index.json["manifests"][1])
    except (ValueError, LookupError, TypeError):
        return None
    return record, image


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a manifest of Lineal's own: what it is, and its content where the manifest has that."""

    descriptor: Descriptor
    data: bytes | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    def read(self, store: Store, limit: int) -> bytes:
        """Raises `MissingContent` when it is gone, `Unreachable` for more than `limit` bytes."""
        return self.data if self.data is not None else read_blob(store, self.descriptor.digest, limit)

    @staticmethod
    def of(entry: Mapping[str, Any]) -> Part:
        """Raises ValueError, LookupError, TypeError or AttributeError for what is no descriptor. Content that is not
        what the digest says is not there."""
        annotations = entry.get("annotations", {})
        texts = {key: text for key, text in annotations.items() if isinstance(text, str)}
        found = Descriptor(str(entry["mediaType"]), digest_of(entry), size_of(entry))
        if found == _INLINED:
            data = b64decode(texts.pop(CONTENT), validate=True)
            return Part(Descriptor(texts.pop(TYPE), sha256(data), len(data)), data, texts)
        # Records of earlier versions have parts both ways.
        given = b64decode(entry["data"], validate=True) if isinstance(entry.get("data"), str) else None
        return Part(found, given if given is not None and sha256(given) == found.digest else None, texts)


@dataclass(frozen=True, slots=True)
class Told:
    """What a record tells of its stage, whatever its version."""

    image: str
    """The digest of the image's manifest."""
    inputs: Mapping[str, Any]
    statement: StageStatement | None
    """None for a record of version 1."""


def told(store: Store, manifest: Manifest) -> Told | None:
    """What a record tells; None for a manifest that is no record, or one that has lost its document."""
    try:
        part = Part.of(manifest.json["layers"][0])
        if part.descriptor.media_type not in (RECORD, STATEMENT) or part.descriptor.size > MAX_STATEMENT:
            return None
        data = part.read(store, MAX_STATEMENT)
        if part.descriptor.media_type == STATEMENT:
            found = StageStatement.read(data)
            return Told(found.image, found.inputs, found)
        document = json.loads(data)
        return Told(digest_of({"digest": document["image"]}), dict(document["inputs"]), None)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MissingContent):
        return None


def record_manifest(store: Store, index: Manifest) -> Manifest:
    """The record's manifest. Raises `MissingContent` when it is missing."""
    digest = record_digest(index)
    manifest = store.manifest(digest)
    if manifest is None:
        raise MissingContent(digest, store.address)
    return manifest


def record_parts(store: Store, index: Manifest) -> dict[str, Part]:
    """The record's parts by media type. Raises `MissingContent` when the record is missing."""
    return parts_of(record_manifest(store, index), store)


def parts_of(manifest: Manifest, store: Store) -> dict[str, Part]:
    """The same of a record's manifest."""
    try:
        parts = {part.descriptor.media_type: part for part in map(Part.of, manifest.json["layers"])}
    except (LookupError, TypeError, ValueError, AttributeError):
        parts = {}
    if FILESYSTEM not in parts:
        # Not what Lineal wrote: as good as missing.
        raise MissingContent(manifest.digest, store.address)
    return parts
