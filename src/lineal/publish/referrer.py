"""What is said of a finished image, beside it in its repository: an OCI referrer, which tools find by the image's
digest. Where a registry cannot list referrers, the tag `sha256-<digest>` has the list, as the OCI spec says."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from lineal.errors import MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.image import encode, read_blob
from lineal.oci.types import OCI_INDEX, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.oci.verify import digest_of
from lineal.store.record import MAX_STATEMENT, PREDICATE, PREFIX, Sign
from lineal.store.statement import PROVENANCE, STATEMENT
from lineal.trust.sigstore_bundle import BUNDLE, bundle_of

_TRIES = 5
_MOST = 100
"""Referrers of one image that are read."""
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = Blob.of(b"{}")
STATED = PREFIX + "statement"
"""The annotation with the digest of the statement inside, by which a run finds that it has been said already."""
_SIGNER = PREFIX + "signer"
_BUNDLE_PREDICATE = "dev.sigstore.bundle.predicateType"


@dataclass(frozen=True)
class Referrer:
    """A manifest about another one, with its blobs."""

    manifest: Manifest
    blobs: tuple[Blob, ...]

    @property
    def entry(self) -> dict[str, Any]:
        """As it stands in a list of referrers."""
        document = self.manifest.json
        return {
            **self.manifest.descriptor().to_json(),
            "artifactType": document["artifactType"],
            "annotations": document["annotations"],
        }


def referrer(statement: bytes, subject: Descriptor, sign: Sign | None, predicate: str = PROVENANCE) -> Referrer:
    """A statement about a manifest, as a Sigstore bundle where it is signed. `predicate` is the type of what it
    says."""
    kind, blob, annotations = STATEMENT, Blob.of(statement), {PREDICATE: predicate}
    if sign is not None:
        signatures = sign(statement)
        kind, blob = BUNDLE, Blob.of(bundle(statement, signatures))
        annotations = {
            "dev.sigstore.bundle.content": "dsse-envelope",
            _BUNDLE_PREDICATE: predicate,
            _SIGNER: json.loads(signatures)[0]["keyid"],
        }
    annotations |= {STATED: Blob.of(statement).digest}
    layer = {**Descriptor(kind, blob.digest, blob.size).to_json()}
    layer |= {"annotations": {PREDICATE: predicate}} if sign is None else {}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": Descriptor(_EMPTY_TYPE, _EMPTY.digest, _EMPTY.size).to_json(),
        "layers": [layer],
        "subject": subject.to_json(),
        "annotations": annotations,
    }
    return Referrer(Manifest(encode(document), OCI_MANIFEST), (_EMPTY, blob))


def bundle(statement: bytes, signatures: str) -> bytes:
    """A statement and the first of its signatures as cosign keeps them: a Sigstore bundle, of a key without a
    log."""
    (first, *_) = json.loads(signatures)
    material = first.get("material") or {"publicKey": {"hint": _hint(first["keyid"])}}
    return bundle_of(statement, first["sig"], material)


def _hint(key_id: str) -> str:
    """How cosign names a key: the base64 of what `key_id` has as hex."""
    return b64encode(bytes.fromhex(key_id)).decode()


def say_once(
    store: Store, subject: str, signer: str | None, make: Callable[[], Sequence[Referrer]],
    predicate: str = PROVENANCE,
) -> None:  # fmt: skip
    """Put what `make` gives beside its subject, which is there, unless a run has said something of this kind before,
    with the key `signer` where there is one: what is said is the same for every run, and costs it a walk over all
    stages.

    Raises `Unreachable`."""
    listed = store.referrers(subject)
    known = _in_tag(store, subject) if listed is None else listed
    made = [] if any(_is_said(entry, signer, predicate) for entry in known) else make()
    for one in made:
        for blob in one.blobs:
            store.put_blob(blob)
        store.put_manifest(one.manifest)
    if listed is None:
        _list_in_tag(store, subject, [one.entry for one in made])


def _list_in_tag(store: Store, subject: str, made: Sequence[dict[str, Any]]) -> None:
    # Another run may write the list in the same moment: what is lost is added again.
    for tries_left in reversed(range(_TRIES + 1)):
        entries = _in_tag(store, subject)
        there = {entry.get("digest") for entry in entries}
        missing = [entry for entry in made if entry["digest"] not in there]
        if not missing:
            return
        if tries_left:
            store.move_tag(_index_of([*entries, *missing]), fallback_tag(subject))
    raise Unreachable(
        f"What is said of {subject} is not in its list: the tag {fallback_tag(subject)} in {store.address} was "
        f"written {_TRIES} times, and does not have it.",
        id="LN-4036", remedy="Run again: another run may have written the tag each time, or the tag does not move.",
    )  # fmt: skip


def state(
    store: Store, subject: Manifest, signers: Sequence[tuple[str, Sign]], say: Callable[[], Sequence[bytes]],
    predicate: str = PROVENANCE,
) -> None:  # fmt: skip
    """Put the statements that `say` gives beside their subject, signed by each of the signers, or by nobody where
    there are none. Raises as `say_once`."""
    said = cache(say)  # it reads the chain of an image's stages

    def made(sign: Sign | None) -> list[Referrer]:
        return [referrer(one, subject.descriptor(), sign, predicate) for one in said()]

    for name, sign in signers:
        say_once(store, subject.digest, name, partial(made, sign), predicate)
    if not signers:
        say_once(store, subject.digest, None, partial(made, None), predicate)


def referrers(store: Store, digest: str) -> list[dict[str, Any]]:
    """The descriptors of what is said of a manifest. Raises `Unreachable`."""
    listed = store.referrers(digest)
    return _in_tag(store, digest) if listed is None else listed


def statements(store: Store, digest: str) -> Iterator[dict[str, Any]]:
    """The statements about a manifest, signed or not, as anybody may have put them there. Raises `Unreachable`."""
    for kind, document in _documents(store, digest):
        try:
            said = json.loads(b64decode(document["dsseEnvelope"]["payload"])) if kind == BUNDLE else document
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(said, dict):
            yield said


def enveloped(store: Store, digest: str) -> Iterator[dict[str, Any]]:
    """The Sigstore bundles beside a manifest, as anybody may have put them there. Raises `Unreachable`."""
    return (document for kind, document in _documents(store, digest) if kind == BUNDLE)


def _documents(store: Store, digest: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The type and the content of what is beside a manifest, where that is one document in JSON."""
    for entry in referrers(store, digest)[:_MOST]:
        try:
            manifest = store.manifest(digest_of(entry))
            if manifest is None:
                continue
            (layer,) = manifest.json["layers"]
            kind, document = layer["mediaType"], json.loads(read_blob(store, digest_of(layer), MAX_STATEMENT))
        except (ValueError, LookupError, TypeError, RecursionError, MissingContent):
            continue
        if isinstance(document, dict):
            yield kind, document


def _in_tag(store: Store, digest: str) -> list[dict[str, Any]]:
    found = store.manifest(fallback_tag(digest))
    entries = found.json.get("manifests", []) if found is not None and found.is_index else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _is_said(entry: Mapping[str, Any], signer: str | None, predicate: str) -> bool:
    """Whether an entry of a list is a statement of this kind, of a run with this key, or of one without."""
    annotations = entry.get("annotations")
    return (
        isinstance(annotations, dict)
        and STATED in annotations
        and annotations.get(_BUNDLE_PREDICATE if signer else PREDICATE) == predicate
        and annotations.get(_SIGNER) == signer
        and entry.get("artifactType") == (BUNDLE if signer else STATEMENT)
    )


def fallback_tag(digest: str) -> str:
    """The tag that lists the referrers of a manifest where a registry cannot."""
    return digest.replace(":", "-")


def _index_of(entries: list[dict[str, Any]]) -> Manifest:
    return Manifest(encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}), OCI_INDEX)
