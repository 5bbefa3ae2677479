"""Bundles that somebody vouches for: a run with the key of protected pipelines marks what it publishes, one with a
signing key signs it, and whoever says whom to believe installs no other.

Both are over the whole manifest, and with it the chart and the digests of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lineal.deploy.bundle.bundle import CONFIG, Bundle, tag_of
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci.image import encode
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.store.record import SIGNATURES
from lineal.text import quoted
from lineal.trust import Verdict
from lineal.trust.mark import MARK, TRUST_KEY, Marks, canonical, parse_keys

if TYPE_CHECKING:
    from lineal.session.policy import PolicyOfRun
    from lineal.store.record import Sign
    from lineal.trust.keys import PublicKey

SIGNED = "application/vnd.dev.lineal.bundle.v1+json"
"""The payload type of what is signed."""
_BUNDLE = "lineal bundle 1"
_MANIFEST = {"schemaVersion", "mediaType", "config", "layers", "annotations"}


@dataclass(frozen=True)
class Vouchers:
    """Who vouches for bundles that a run takes; without any everybody does."""

    marks: Marks | None = None
    keys: Sequence[PublicKey] = ()

    def __bool__(self) -> bool:
        return bool(self.marks or self.keys)

    def judge(self, manifest: Manifest) -> Verdict:
        verdict = Verdict(not self, "")
        if self.marks is not None:
            verdict = self.marks.verify(manifest, _covered)
        if self.keys and not verdict.trusted:
            signed = _signed_by(manifest, self.keys)
            verdict = signed if signed.trusted or self.marks is None else verdict
        return verdict


EVERYBODY = Vouchers()


def marks_of(environ: Mapping[str, str]) -> Marks | None:
    """The marks of a run that is about no commit, None without a key. Raises `BadConfiguration`."""
    keys = parse_keys(environ.get(TRUST_KEY, ""))
    return Marks(keys) if keys else None


def vouchers_of(environ: Mapping[str, str], given: PolicyOfRun | None) -> Vouchers:
    """Those of a run that is about no commit: its key, and whom the policy that it was given accepts. Raises
    `BadConfiguration`, also for a policy that the run cannot meet."""
    marks = marks_of(environ)
    if given is None or given.policy is None:
        return Vouchers(marks)
    if given.policy.key_required and marks is None:
        raise BadConfiguration(
            f"The policy believes what is marked with {TRUST_KEY}, and this run has none.",
            id="LN-1041", place=given.place("trust.key"), remedy=f"Give {TRUST_KEY} to the run.",
        )  # fmt: skip
    from lineal.session.signing import accepted_keys

    keys = accepted_keys(given)
    if given.policy.accept and not keys and marks is None:
        # Nobody to believe must not be everybody.
        raise BadConfiguration(
            "The policy accepts pipelines that their CI vouches for, and bundles are signed with keys only.",
            id="LN-1063",
            place=given.place("trust.accept"),
            remedy="Accept a `key` as well, and publish bundles with it.",
        )
    return Vouchers(marks, keys)


def vouched(marks: Marks | None, bundle: Bundle, sign: Sign | None = None) -> Bundle:
    """The bundle as a run publishes it: signed and marked with the keys that it has."""

    def vouch(manifest: Manifest) -> Manifest:
        signed = manifest if sign is None else _with(manifest, SIGNATURES, sign(_signed(manifest.json)))
        return signed if marks is None else marks.mark(signed, _covered)

    return replace(bundle, vouched=vouch)


def require_vouched(vouchers: Vouchers, manifest: Manifest, bundle: str) -> None:
    """Raises `DeployFailed` for a bundle that nobody vouches for whom this run believes. `bundle` is its reference,
    for people."""
    verdict = vouchers.judge(manifest)
    if not verdict.trusted:
        key = TRUST_KEY if vouchers.marks is not None else "signing key"
        raise DeployFailed(
            f"The bundle {quoted(bundle)} is not used: {verdict.reason}.",
            id="LN-7011",
            remedy=f"Publish it from a pipeline with this {key}, or give the key that it was published with.",
        )


def require_version(vouchers: Vouchers, manifest: Manifest, bundle: Bundle, version: str, name: str) -> None:
    """Raises `DeployFailed` when a run that does not believe everybody asked for a version or commit and was given
    the bundle of another one. A bundle is not of the version that it is tagged with, but of the one in its chart."""
    if vouchers and version not in (manifest.digest, tag_of(bundle.version), bundle.commit):
        raise DeployFailed(
            f"{quoted(name)} leads to the bundle of version {quoted(bundle.version)}.",
            id="LN-7012",
            remedy="Somebody moved that tag: give the digest that `lineal bundle publish` printed.",
        )


def _signed_by(manifest: Manifest, keys: Sequence[PublicKey]) -> Verdict:
    from lineal.trust.signed import UNSIGNED, vouching

    try:
        document = manifest.json
        signatures = document["annotations"].get(SIGNATURES)
        if signatures is None:
            return Verdict(False, UNSIGNED)
        message = _signed(document)
        # Only bytes that Lineal writes: another reader of JSON must see in them what this one sees.
        if document["mediaType"] != manifest.media_type or encode(document) != manifest.data:
            return Verdict(False, "its signature is not one that Lineal writes")
        key = vouching(message, signatures, keys, SIGNED)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Verdict(False, "its signature is not one that Lineal writes")
    if key is None:
        return Verdict(False, "it is signed with a key that the policy does not accept, or something else was signed")
    return Verdict(True, f"signed by {key.name}")


def _with(manifest: Manifest, annotation: str, text: str) -> Manifest:
    document = {**manifest.json, "annotations": {**manifest.json["annotations"], annotation: text}}
    return Manifest(encode(document), manifest.media_type)


def _covered(document: dict[str, Any]) -> bytes:
    """The whole manifest. It holds in every registry: what is installed is the same wherever the bundle lies."""
    return _all_but(document, (MARK,))


def _signed(document: dict[str, Any]) -> bytes:
    return _all_but(document, (MARK, SIGNATURES))


def _all_but(document: dict[str, Any], names: Sequence[str]) -> bytes:
    if (
        set(document) != _MANIFEST
        or document["mediaType"] != OCI_MANIFEST
        or document["config"]["mediaType"] != CONFIG
    ):
        raise ValueError("not a bundle's manifest")
    annotations = {name: text for name, text in document["annotations"].items() if name not in names}
    return canonical([_BUNDLE, document["config"], document["layers"], annotations])
