"""Bundles that somebody vouches for: a run with the key of protected pipelines marks what it publishes, one with a
signing key or an identity signs it, and whoever says whom to believe installs no other.

All are over the whole manifest, and with it the chart and the digests of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lineal.deploy.bundle.bundle import CONFIG, Bundle, tag_of
from lineal.deploy.bundle.signatures import Signatures, sign
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci import Store
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.text import quoted
from lineal.trust import Verdict
from lineal.trust.mark import MARK, TRUST_KEY, Marks, canonical, parse_keys
from lineal.trust.policy import IdentitySigner

if TYPE_CHECKING:
    from lineal.session.policy import PolicyOfRun
    from lineal.session.signing import Signer

_BUNDLE = "lineal bundle 1"
_MANIFEST = {"schemaVersion", "mediaType", "config", "layers", "annotations"}


@dataclass(frozen=True)
class Vouchers:
    """Who vouches for bundles that a run takes; without any everybody does."""

    marks: Marks | None = None
    signatures: Signatures = field(default_factory=Signatures)

    def __bool__(self) -> bool:
        return bool(self.marks or self.signatures)

    def judge(self, store: Store, manifest: Manifest) -> Verdict:
        """Raises as `Signatures.judge`."""
        verdict = Verdict(not self, "")
        if self.marks is not None:
            verdict = self.marks.verify(manifest, _covered)
        if self.signatures and not verdict.trusted:
            signed = self.signatures.judge(store, manifest.digest)
            verdict = signed if signed.trusted or self.marks is None else verdict
        return verdict


EVERYBODY = Vouchers()


def marks_of(environ: Mapping[str, str]) -> Marks | None:
    """The marks of a run that is about no commit, None without a key. Raises `BadConfiguration`."""
    keys = parse_keys(environ.get(TRUST_KEY, ""))
    return Marks(keys) if keys else None


def vouchers_of(
    environ: Mapping[str, str], given: PolicyOfRun | None, warn: Callable[[str], None] = lambda _: None
) -> Vouchers:
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
    from lineal.session.identity import sigstore_of
    from lineal.session.policy import accepted_keys

    pipelines = [one for one in given.policy.accept if isinstance(one, IdentitySigner)]
    sigstore = sigstore_of(environ, warn) if pipelines else None
    return Vouchers(marks, Signatures(accepted_keys(given), pipelines, sigstore))


def vouched(marks: Marks | None, bundle: Bundle, signers: Sequence[Signer] = ()) -> Bundle:
    """The bundle as a run publishes it: marked and signed with the keys and in the name that it has."""
    marked = bundle if marks is None else replace(bundle, vouched=lambda manifest: marks.mark(manifest, _covered))
    return replace(marked, sign=partial(sign, signers)) if signers else marked


def require_vouched(vouchers: Vouchers, store: Store, manifest: Manifest, bundle: str) -> None:
    """Raises `DeployFailed` for a bundle that nobody vouches for whom this run believes. `bundle` is its reference,
    for people."""
    verdict = vouchers.judge(store, manifest)
    if not verdict.trusted:
        whom = f"with this {TRUST_KEY}" if vouchers.marks is not None else "whose signatures the policy accepts"
        raise DeployFailed(
            f"The bundle {quoted(bundle)} is not used: {verdict.reason}.",
            id="LN-7011",
            remedy=f"Publish it from a pipeline {whom}, or say that whoever published it is to be believed.",
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


def _covered(document: dict[str, Any]) -> bytes:
    """The whole manifest. It holds in every registry: what is installed is the same wherever the bundle lies."""
    if (
        set(document) != _MANIFEST
        or document["mediaType"] != OCI_MANIFEST
        or document["config"]["mediaType"] != CONFIG
    ):
        raise ValueError("not a bundle's manifest")
    annotations = {name: text for name, text in document["annotations"].items() if name != MARK}
    return canonical([_BUNDLE, document["config"], document["layers"], annotations])
