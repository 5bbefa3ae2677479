"""What bundles beside a store name: whoever has one may install it at any time."""

from __future__ import annotations

from concurrent.futures import Executor

from lineal.bundling import beside
from lineal.store import Store
from lineal.store.tags import named


def in_bundles(store: Store, pool: Executor) -> set[str]:
    """Digests and stage tags. Raises `LinealError` when the bundles cannot be read."""
    shelf = beside(store)
    manifests = pool.map(shelf.manifest, shelf.tags())
    return {name for manifest in manifests if manifest is not None for name in named(manifest.data)}
