"""The documents of a claim on a moving tag (`lineal.store.tags.Claim`), and what an image of others says of its
commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lineal.errors import LinealError
from lineal.oci import Store
from lineal.oci.image import encode, read_blob
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.store.record import PREFIX
from lineal.store.tags import Claim

CLAIM = "application/vnd.dev.lineal.claim.v1+json"
REVISION = "org.opencontainers.image.revision"
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_CONFIG = 4 << 20


def claim_documents(claim: Claim, repository: str, tag: str, digest: str, branch: str) -> tuple[list[Blob], Manifest]:
    """The blobs and the manifest that a claim's tag points at. What others decide by is in the tag; the rest is for
    people, and for a forced push (`branch`)."""
    content = Blob.of(encode({}))
    # Tools that do not know claims see an image for no platform.
    config = Blob.of(
        encode(
            {
                "architecture": "unknown",
                "os": "unknown",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [content.digest]},
            }
        )
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [Descriptor(CLAIM, content.digest, content.size).to_json()],
        "annotations": {
            PREFIX + "branch": branch,
            PREFIX + "commit": claim.commit,
            PREFIX + "created": str(claim.created),
            PREFIX + "digest": digest,
            PREFIX + "repository": repository,
            PREFIX + "tag": tag,
        },
    }
    return [content, config], Manifest(encode(manifest), OCI_MANIFEST)


def branch_of(manifest: Manifest | None) -> str | None:
    """The branch that a claim was made for, None when it does not say one."""
    return _texts(manifest.json.get("annotations") if manifest else None).get(PREFIX + "branch") or None


def revision_of(store: Store, digest: str) -> str | None:
    """The commit that an image says it was built from: in its annotations, else in its labels. None when it says
    none, or not by its full id."""
    manifest = store.manifest(digest)
    if manifest is None:
        return None
    said = _texts(manifest.json.get("annotations")).get(REVISION) or _label(store, manifest)
    return said if said is not None and _OBJECT.fullmatch(said) else None


def _label(store: Store, manifest: Manifest) -> str | None:
    """The revision among the labels of the image, of an index's first image."""
    try:
        children = manifest.json.get("manifests")
        if children:
            found = store.manifest(str(children[0]["digest"]))
            manifest = manifest if found is None else found
        import json

        config = json.loads(read_blob(store, str(manifest.json["config"]["digest"]), _MAX_CONFIG))
        return _texts(config["config"].get("Labels")).get(REVISION)
    except (LinealError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _texts(found: Any) -> Mapping[str, str]:
    return (
        {str(key): value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
    )
