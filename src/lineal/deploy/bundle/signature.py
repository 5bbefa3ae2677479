"""A bundle's signature beside it, as cosign writes one, so that Flux and others verify it without Lineal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineal.oci.image import encode
from lineal.publish.referrer import SIGNER, attach, referrer
from lineal.store.statement import STATEMENT_TYPE

if TYPE_CHECKING:
    from lineal.oci import Store
    from lineal.oci.types import Manifest
    from lineal.store.record import Sign

COSIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate of a statement that says nothing but that somebody has signed its subject (cosign 3)."""


def attach_signature(store: Store, bundle: Manifest, sign: Sign) -> None:
    """Put a signature beside a bundle that is there, unless this key's is. `sign` is for statements. Raises
    `Unreachable`."""
    algorithm, _, digest = bundle.digest.partition(":")
    statement = encode({
        "_type": STATEMENT_TYPE, "subject": [{"digest": {algorithm: digest}}],
        "predicateType": COSIGN, "predicate": {},
    })  # fmt: skip
    made = referrer(statement, bundle.descriptor(), sign, COSIGN)
    attach(store, bundle.digest, made.entry["annotations"][SIGNER], lambda: [made], COSIGN)
