"""Cache mounts: volumes that stay in the engine, and may hold something before their first use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lineal.engine import CacheMount, Mount
from lineal.engine.docker.client import Client
from lineal.engine.docker.resources import RunResources

_FILLED = "-filled"


class Caches:
    """The caches of one command."""

    def __init__(self, client: Client, resources: RunResources) -> None:
        self._client = client
        self._resources = resources
        self._filling: list[str] = []

    def volume(self, mount: CacheMount) -> tuple[str, bool]:
        """The volume's name, and whether it still needs owner and contents.

        One with contents is only ready when a second volume says so: a run that was killed may have left it half
        full."""
        if mount.sharing == "private":
            return self._resources.volume(), True
        name = f"lineal-cache-{hashlib.sha256(mount.id.encode()).hexdigest()[:32]}"
        fresh = not self._exists(name)
        if fresh:
            self._make(name, mount.id)
        if mount.tar is None:
            return name, fresh
        fresh = not self._exists(name + _FILLED)
        if fresh:
            self._filling.append(name + _FILLED)
        return name, fresh

    def filled(self) -> None:
        """The volumes now hold what they begin with."""
        for name in self._filling:
            self._make(name, name)

    def _exists(self, name: str) -> bool:
        return self._client.find(f"/volumes/{name}", "look up a cache volume") is not None

    def _make(self, name: str, id: str) -> None:
        body = {"Name": name, "Driver": "local", "Labels": {"dev.lineal.cache": id}}
        self._client.call("POST", "/volumes/create", "create a cache volume", body=body)


def locked_caches(mounts: Sequence[Mount]) -> list[str]:
    """Ids of the caches that only one command may use at a time, in the order to lock them."""
    return sorted({mount.id for mount in mounts if isinstance(mount, CacheMount) and mount.sharing == "locked"})


def shared_caches(mounts: Sequence[Mount]) -> list[str]:
    """Ids of the shared caches, which only one command at a time may make, in the order to lock them."""
    return sorted({mount.id for mount in mounts if isinstance(mount, CacheMount) and mount.sharing == "shared"})
