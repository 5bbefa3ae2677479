"""Stages that are signed: the statement in a stage's record, verified by public keys of the commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lineal.errors import MissingContent
from lineal.oci.image import encode
from lineal.oci.types import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from lineal.oci.verify import size_of
from lineal.store.record import FILESYSTEM, MAX_STATEMENT, SIGNATURES, Part, Record, index_document
from lineal.store.statement import STATEMENT, StageStatement
from lineal.text import printable
from lineal.trust import Evidence, Verdict
from lineal.trust.envelope import Signature, decode_signatures, encode_signatures, signed_bytes
from lineal.trust.keys import PublicKey, SigningKey
from lineal.trust.mark import MARK

UNSIGNED = "nobody has signed it"
_GONE = "its record is gone"
_NOT_OURS = "its record is not one that Lineal writes"
_OTHER = "what is signed is about something else"
_PART, _ELSEWHERE = "what is signed is not all of it", "what is signed is of another store"
_BACKDATED = "it calls itself older than its signature"
FORGED = (_OTHER, _PART, _ELSEWHERE, _BACKDATED, "its mark is not true")
"""How the reasons begin that only a forger gives: somebody has signed it, and something else."""
_EARLIER = 60_000
"""Milliseconds that a publication may be older than the signature of its statement: clocks differ."""


def signer(key: SigningKey) -> Callable[[bytes], str]:
    """What signs statements (`lineal.store.record.Sign`)."""
    key_id = key.public.id

    def sign(document: bytes) -> str:
        return encode_signatures([Signature(key_id, key.sign(signed_bytes(document)))])

    return sign


def vouching(document: bytes, signatures: str, keys: Sequence[PublicKey]) -> PublicKey | None:
    """The key of which one of the signatures is. Raises ValueError for signatures that are none."""
    message = signed_bytes(document)
    for signature in decode_signatures(signatures):
        # The one that it names is tried first; the name is no proof of anything.
        for key in sorted(keys, key=lambda one: one.id != signature.key_id):
            if key.verifies(signature.value, message):
                return key
    return None


@dataclass(frozen=True)
class SignedStages:
    """A verifier (`lineal.trust.Verifier`): believes stages whose statement one of the keys has signed, and what the
    statement says. `pull_request` is the one that this run is for."""

    keys: Sequence[PublicKey]
    merged: bool = False
    pull_request: int | None = None

    @property
    def basis(self) -> str:
        return f"keys {' '.join(sorted(key.id for key in self.keys))} {self.merged} {self.pull_request}"

    def __str__(self) -> str:
        return f"what {' or '.join(printable(key.name) for key in self.keys)} has signed"

    def judge(self, evidence: Evidence) -> Verdict:
        return judge_statement(evidence, self._vouch)

    def _vouch(self, statement: bytes, signatures: str, said: StageStatement) -> Verdict:
        key, request = vouching(statement, signatures, self.keys), said.making.builder.pull_request
        if key is None:
            return Verdict(False, "signed with a key that this commit does not accept")
        if request is not None and not self.merged and request != self.pull_request:
            return Verdict(False, f"signed for pull request {request}, which counts with `merged: true` only")
        return Verdict(True, f"signed by {printable(key.name)}")


Vouch = Callable[[bytes, str, StageStatement], Verdict]
"""Whether signatures of a statement are believed, given what the statement says. Raises ValueError for signatures
that are none."""


def judge_statement(evidence: Evidence, vouch: Vouch) -> Verdict:
    """Whether a stage is what its statement says, and who vouches for the statement. May raise `Unreachable`."""
    manifest = evidence.record_manifest()
    if manifest is None:
        return Verdict(False, _GONE)
    try:
        part, *others = map(Part.of, manifest.json["layers"])
        if part.descriptor.media_type != STATEMENT or SIGNATURES not in part.annotations:
            return Verdict(False, UNSIGNED)
        data = part.read(evidence.store, MAX_STATEMENT)
        said = StageStatement.read(data)
        verdict = vouch(data, part.annotations[SIGNATURES], said)
        if not verdict.trusted:
            return verdict
        kept = [(one.descriptor.media_type, one.descriptor.digest) for one in others]
        why = _OTHER if kept != [(FILESYSTEM, said.filesystem)] else _doubt(said, manifest, evidence)
    except MissingContent:
        return Verdict(False, _GONE)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Verdict(False, _NOT_OURS)
    return Verdict(False, why) if why else verdict


def _doubt(said: StageStatement, record_manifest: Manifest, evidence: Evidence) -> str:
    """Why a statement that is signed is not about this stage, here and now; empty when it is. May raise as
    `StageStatement.read` does."""
    published, builder = evidence.record, said.making.builder
    if said.image != evidence.image or replace(record_of(said), created=published.created) != published:
        return _OTHER
    if not is_index_of(evidence.index, said.platform, record_manifest, published):
        return _PART
    if builder.store != evidence.repository:
        return _ELSEWHERE
    if said.finished is None or published.created < said.finished - _EARLIER:
        return _BACKDATED
    return ""


def record_of(said: StageStatement) -> Record:
    """The record that a statement is the source of; when it was published is nobody's to sign beforehand."""
    facts = (said.checksum, said.commits, said.tree, said.branch)
    return Record(*facts, 0, said.parent, said.project, said.version, said.beside, said.durations)


def is_index_of(index: Manifest, platform: str, record_manifest: Manifest, record: Record) -> bool:
    """Whether an index is what Lineal writes for an image and its record, to the byte: nothing beside them, no image
    under another platform. It may have a mark. Raises ValueError, LookupError or TypeError."""
    entry, annotations = index.json["manifests"][0], dict(index.json["annotations"])
    image = Descriptor(OCI_MANIFEST, str(entry["digest"]), size_of(entry))
    expected = index_document(image, platform, record_manifest.descriptor(), record)
    if MARK in annotations:
        expected["annotations"][MARK] = annotations[MARK]
    return index.media_type == OCI_INDEX and index.json == expected and encode(expected) == index.data
