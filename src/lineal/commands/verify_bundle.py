"""`lineal verify oci://…`: whether somebody vouches for a bundle, and with it for the digests of its images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lineal.commands.output import show
from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import CONFIG
from lineal.deploy.bundle.vouched import vouchers_of
from lineal.text import printable
from lineal.trust import Verdict
from lineal.trust.judge import UNVOUCHED
from lineal.trust.signed import FORGED

if TYPE_CHECKING:
    from lineal.oci import Store
    from lineal.oci.types import Manifest
    from lineal.session.session import Session


def is_bundle(manifest: Manifest) -> bool:
    """Whether it is one of a chart."""
    config: Any = manifest.json.get("config")
    return isinstance(config, dict) and config.get("mediaType") == CONFIG


def verify_bundle(session: Session, place: Store, version: str, reference: str, format: str) -> str:
    """Show what a bundle rests on; the kind of that, as of a stage. Raises `DeployFailed` for a bundle that somebody
    vouches for and that is not whole, or of another version than `version`, its tag or digest."""
    vouchers = vouchers_of(session.settings.environ, session.policy, session.progress.warn)
    manifest = place.manifest(version)
    assert manifest is not None, "it was read before"
    verdict = vouchers.judge(place, manifest) if vouchers else Verdict(False, UNVOUCHED)
    if verdict.trusted:
        registry.get(place, version, reference, vouchers)
    kind = "signed" if verdict.trusted else "forged" if verdict.reason.startswith(FORGED) else "unvouched"
    told = {"digest": manifest.digest, "verdict": kind, "reason": verdict.reason}
    if format == "json":
        show(json.dumps({"reference": reference, "bundle": told}, indent=2) + "\n")
    else:
        title = {"signed": "signed", "forged": "FORGED", "unvouched": "NOBODY VOUCHES"}[kind]
        show(f"{printable(reference)} {manifest.digest}\n  {title:<15} bundle: {printable(verdict.reason)}\n")
    return kind
