"""How that which goes is deleted: by its digest, or on GitHub as versions of a package."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from lineal.cleanup.retention import Deletion, delete
from lineal.clock import Time
from lineal.errors import Unreachable
from lineal.oci import Store
from lineal.progress import Progress


class Removal(Protocol):
    def delete(self, deletions: Sequence[Deletion]) -> Iterator[Deletion]:
        """Delete stages; gives each when it is gone. Raises `Unreachable`."""

    def forget(self, digest: str, tags: Sequence[str]) -> None:
        """Delete a manifest that is no stage, with its tags. Raises `Unreachable`. Called from several threads."""

    def sweep(self) -> str:
        """Free what belonged to them; says for people what became of the space. Raises `Unreachable`."""


def removal_of(
    store: Store, used: Collection[str], environ: Mapping[str, str], pool: Executor, progress: Progress
) -> Removal:
    """The way that a store takes. `used` are digests that stay whatever leads to them. Raises `Unreachable`."""
    if store.directory is None:
        from lineal.cleanup.github.packages import Packages, api_of
        from lineal.cleanup.github.versions import VersionRemoval
        from lineal.store.registry.client import Registry

        if isinstance(store, Registry) and (api := api_of(store.host, environ)):
            login = store.login()
            if login is None or not login.password:
                raise Unreachable(
                    f"Deleting from {store.host} needs a token for GitHub's API, and there is no login for "
                    f"{store.host} to take it from.",
                    id="LN-8006",
                    remedy=f"Log in: `docker login {store.host}`, or LINEAL_REGISTRY_USERNAME and "
                    "LINEAL_REGISTRY_PASSWORD.",
                )
            packages = Packages(api, store.repository, login, environ, Time(), progress.note)
            return VersionRemoval(store, packages, used, pool, progress.warn)
    return _ByDigest(store, pool)


class _ByDigest:
    """Several at a time; the registry, or the directory, finds out by itself what nothing leads to any more."""

    def __init__(self, store: Store, pool: Executor) -> None:
        self._store, self._pool = store, pool

    def delete(self, deletions: Sequence[Deletion]) -> Iterator[Deletion]:
        if self._store.directory is not None:
            # It has one index of all.
            self._store.delete_all({digest: tags for one in deletions for digest, tags in one.digests.items()})
            return iter(deletions)
        return self._pool.map(partial(delete, self._store), deletions)

    def forget(self, digest: str, tags: Sequence[str]) -> None:
        self._store.delete(digest, tags)

    def sweep(self) -> str:
        freed = self._store.sweep()
        return "is freed by the registry's own garbage collection" if freed is None else f"{freed / 1e6:.1f} MB freed"
