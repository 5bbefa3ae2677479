"""The stages that the bundles beside a store name: people may install such a bundle at any time."""

from __future__ import annotations

from concurrent.futures import Executor

from lineal.deploy.bundle.publish import beside
from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Store
from lineal.store.tags import named


def in_bundles(store: Store, pool: Executor) -> set[str]:
    """Digests and stage tags that bundles name. Raises `Unreachable` when the bundles cannot be read."""
    try:
        bundles = beside(store)
    except BadConfiguration:
        return set()  # Docker Hub has no place for them
    try:
        manifests = list(pool.map(bundles.manifest, bundles.tags()))
    except Unreachable as error:
        where = f"the bundles in {bundles.address}"
        what = f"Nothing is deleted, because it cannot be told what {where} name: {error.message}"
        raise Unreachable(what, id="LN-8001", remedy=error.remedy) from None
    return {name for manifest in manifests if manifest is not None for name in named(manifest.data)}
