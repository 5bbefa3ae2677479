"""What bundles beside a store name: whoever has one may install it at any time."""

from __future__ import annotations

from concurrent.futures import Executor

from lineal.deploy.bundle.publish import beside
from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Store
from lineal.store.tags import named


def in_bundles(store: Store, pool: Executor) -> set[str]:
    """Digests and stage tags. Raises `Unreachable` when the bundles cannot be read."""
    try:
        shelf = beside(store)
    except BadConfiguration:
        return set()  # Docker Hub has no place for them
    try:
        manifests = list(pool.map(shelf.manifest, shelf.tags()))
    except Unreachable as error:
        where = f"the bundles in {shelf.address}"
        what = f"Nothing is deleted, because it cannot be told what {where} name: {error.message}"
        raise Unreachable(what, remedy=error.remedy) from None
    return {name for manifest in manifests if manifest is not None for name in named(manifest.data)}
