"""The SBOM of a finished image: what a scanner has found in its files, as statements about the image."""

from __future__ import annotations

import json

from lineal.build.sbom import documents
from lineal.oci import Store
from lineal.oci.types import Descriptor, Manifest
from lineal.oci.verify import digest_of, size_of
from lineal.stages.candidate import Candidate
from lineal.store.record import image_digest
from lineal.store.statement import SPDX, STATEMENT_TYPE, digest_set


def sboms_of(name: str, digest: str, scan: Candidate, store: Store) -> list[bytes]:
    """The statements about the finished image `name`, whose manifest has this digest. `scan` is the stage in which a
    scanner ran over its files. They are a function of both: every run says the same of one image.

    Raises `LinealError`."""
    manifest = store.manifest(image_digest(scan.index))
    layer = _last_layer(manifest) if manifest is not None else None
    said = documents(store, layer) if layer is not None else []
    return [_statement(name, digest, one) for one in said]


def _statement(name: str, digest: str, document: object) -> bytes:
    found = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": digest_set(digest)}],
        "predicateType": SPDX,
        "predicate": document,
    }
    return json.dumps(found, separators=(",", ":")).encode()


def _last_layer(manifest: Manifest) -> Descriptor | None:
    try:
        entry = manifest.json["layers"][-1]
        return Descriptor(str(entry["mediaType"]), digest_of(entry), size_of(entry))
    except (ValueError, LookupError, TypeError):
        return None
