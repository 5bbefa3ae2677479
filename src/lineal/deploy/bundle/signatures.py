"""Signatures of bundles: each beside the bundle's manifest, as cosign puts those of an image, so that `cosign verify`
and whatever else reads these understands them. One of a pipeline has in it what its CI vouches for."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from lineal.oci import Store
from lineal.oci.types import Manifest
from lineal.publish.referrer import enveloped, state
from lineal.store.statement import STATEMENT_TYPE, digest_set
from lineal.text import printable
from lineal.trust import Verdict
from lineal.trust.identity import Run, why_not
from lineal.trust.policy import IdentitySigner
from lineal.trust.signed import UNSIGNED, vouching

if TYPE_CHECKING:
    from lineal.session.signing import Signer
    from lineal.trust.identity import Identity
    from lineal.trust.keys import PublicKey
    from lineal.trust.sigstore_bundle import Sigstore

SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of cosign's signatures of images."""
_NOWHERE = Run(False, None, "", lambda _: False)
"""Whoever installs a bundle has no history, and is no pull request."""


def sign(signers: Sequence[Signer], store: Store, manifest: Manifest) -> None:
    """Put the signature of each signer that is missing beside a manifest, which is there. Raises `LinealError`."""
    if signers:
        state(store, manifest, signers, lambda: [_statement(store.address, manifest.digest)], SIGNATURE)


def _statement(name: str, digest: str) -> bytes:
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": digest_set(digest)}],
        "predicateType": SIGNATURE,
        "predicate": {},
    }
    return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Signatures:
    """Those that are believed: of the keys, and of the pipelines that `sigstore` vouches for."""

    keys: Sequence[PublicKey] = ()
    pipelines: Sequence[IdentitySigner] = ()
    sigstore: Sigstore | None = None

    def __bool__(self) -> bool:
        return bool(self.keys or self.pipelines)

    def judge(self, store: Store, digest: str) -> Verdict:
        """Whether one of them is beside a manifest. Raises `Unreachable`, or `BadConfiguration` where that cannot be
        told."""
        verdict = Verdict(False, UNSIGNED)
        for bundle in enveloped(store, digest):
            try:
                envelope = bundle["dsseEnvelope"]
                payload = b64decode(envelope["payload"], validate=True)
                if not _is_of(payload, digest):
                    continue
                verdict = self._judged(payload, envelope["signatures"], bundle["verificationMaterial"])
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                verdict = Verdict(False, "its signature is none that is understood")
            if verdict.trusted:
                break
        return verdict

    def _judged(self, payload: bytes, signatures: Any, material: Mapping[str, Any]) -> Verdict:
        """Raises ValueError, LookupError or TypeError for what is no signature."""
        if "publicKey" in material or not self.pipelines:
            key = vouching(payload, json.dumps(signatures), self.keys)
            if key is not None:
                return Verdict(True, f"signed by {printable(key.name)}")
            return Verdict(False, "it is signed with a key that the policy does not accept")
        (signature,) = signatures
        try:
            found = self._identity(payload, b64decode(signature["sig"], validate=True), material)
        except ValueError:
            return Verdict(False, "its certificate or its entry in the log is not true")
        for reason in map(partial(why_not, found=found, said=(), request=None, run=_NOWHERE), self.pipelines):
            if not reason:
                return Verdict(True, f"signed by {printable(found.workflow.partition('://')[2])}")
        return Verdict(False, reason)

    def _identity(self, payload: bytes, signature: bytes, material: Mapping[str, Any]) -> Identity:
        from lineal.trust.sigstore_bundle import Vouched

        assert self.sigstore is not None
        return self.sigstore.identity(payload, Vouched(signature, material))


def _is_of(payload: bytes, digest: str) -> bool:
    """Whether a statement is a signature of this manifest: one about anything else may well be beside it. Raises
    ValueError, LookupError or TypeError for what is no statement."""
    said = json.loads(payload)
    subjects = [subject["digest"] for subject in said["subject"]]
    return (said["_type"], said["predicateType"]) == (STATEMENT_TYPE, SIGNATURE) and digest_set(digest) in subjects
