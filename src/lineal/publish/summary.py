"""A Verification Summary (SLSA): that an image was verified, by whom, and by which policy. For whoever admits images
to a cluster and cannot walk through git."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lineal.store.statement import STATEMENT_TYPE, digest_set

SUMMARY = "https://slsa.dev/verification_summary/v1"
"""The predicate type."""
VERIFIER = "https://lineal.dev/verify"
LINEAGE = "LINEAGE_VERIFIED"
"""The level that it verifies: each stage of the image is proved from git, vouched for, or the base that is named."""


def summary(name: str, digest: str, policy: Mapping[str, Any], version: str, now: int) -> bytes:
    """The statement that the image `name` of this digest was verified. `policy` has `uri` and `digest`, as in-toto
    writes them; `now` is in ms since the epoch."""
    verified = datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": digest_set(digest)}],
        "predicateType": SUMMARY,
        "predicate": {
            "verifier": {"id": VERIFIER, "version": {"lineal": version}},
            "timeVerified": verified,
            "resourceUri": f"{name}@{digest}",
            "policy": dict(policy),
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_BUILD_LEVEL_UNEVALUATED", LINEAGE],
            "slsaVersion": "1.0",
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()
