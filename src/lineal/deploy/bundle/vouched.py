"""Bundles that a protected pipeline vouches for: whoever has its key publishes them marked and installs no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lineal.deploy.bundle.bundle import CONFIG, Bundle, tag_of
from lineal.errors import DeployFailed
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.text import quoted
from lineal.trust.mark import TRUST_KEY, Marks, canonical, parse_keys, unmarked

_BUNDLE = "lineal bundle 1"
_MANIFEST = {"schemaVersion", "mediaType", "config", "layers", "annotations"}


def marks_of(environ: Mapping[str, str]) -> Marks | None:
    """The marks of a run that is about no commit, None without a key. Raises `BadConfiguration`."""
    keys = parse_keys(environ.get(TRUST_KEY, ""))
    return Marks(keys) if keys else None


def vouched(marks: Marks | None, bundle: Bundle) -> Bundle:
    """The bundle as a run publishes it: marked, when it has a key."""
    return bundle if marks is None else replace(bundle, vouched=lambda manifest: marks.mark(manifest, _covered))


def require_mark(marks: Marks | None, manifest: Manifest, bundle: str) -> None:
    """Raises `DeployFailed` for a bundle that this run's key did not mark. `bundle` is its reference, for people."""
    verdict = marks.verify(manifest, _covered) if marks is not None else None
    if verdict is not None and not verdict.trusted:
        raise DeployFailed(
            f"The bundle {quoted(bundle)} is not used: {verdict.reason}.",
            id="LN-7011",
            remedy=f"Publish it from a pipeline with this {TRUST_KEY}, or give the key that it was published with.",
        )


def require_version(marks: Marks | None, manifest: Manifest, bundle: Bundle, version: str, name: str) -> None:
    """Raises `DeployFailed` when a run with a key asked for a version or commit and was given the marked bundle of
    another one. A bundle is not of the version that it is tagged with, but of the one in its chart."""
    if marks is not None and version not in (manifest.digest, tag_of(bundle.version), bundle.commit):
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
    return canonical([_BUNDLE, document["config"], document["layers"], unmarked(document)])
