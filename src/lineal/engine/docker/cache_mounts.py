"""Cache mounts: volumes that stay in the engine, and may hold something before their first use; those that the run
keeps by itself go with it."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lineal.engine import CacheMount, Mount
from lineal.engine.docker.client import Client
from lineal.engine.docker.resources import RunResources

_FILLED = "-filled"


class KeptVolumes:
    """The caches that the run keeps by itself: volumes of the whole run, and how many commands use each."""

    def __init__(self, resources: RunResources) -> None:
        self._resources = resources
        self._guard = threading.Lock()
        self._names: dict[str, str] = {}
        self._users: Counter[str] = Counter()

    def close(self) -> None:
        """Remove the volumes."""
        self._resources.__exit__()

    def volume(self, id: str) -> tuple[str, bool]:
        """The volume's name, and whether it is new."""
        with self._guard:
            fresh = id not in self._names
            if fresh:
                self._names[id] = self._resources.volume()
            return self._names[id], fresh

    @contextmanager
    def used(self, mounts: Sequence[Mount]) -> Iterator[list[CacheMount]]:
        """While a command runs. The block gets its caches; it takes those out of them that it has left (`leave`)."""
        caches = [mount for mount in mounts if isinstance(mount, CacheMount) and mount.kept]
        with self._guard:
            self._users.update(mount.id for mount in caches)
        try:
            yield caches
        finally:
            with self._guard:
                self._users.subtract(mount.id for mount in caches)

    def leave(self, caches: list[CacheMount]) -> list[CacheMount]:
        """Leave the caches of a command that ended well; those of them that nobody else uses."""
        with self._guard:
            self._users.subtract(mount.id for mount in caches)
            left = [mount for mount in caches if mount.sharing == "private" or self._users[mount.id] <= 0]
        caches.clear()
        return left


class Caches:
    """The caches of one command."""

    def __init__(self, client: Client, resources: RunResources, kept: KeptVolumes) -> None:
        self._client = client
        self._resources = resources
        self._kept = kept
        self._filling: list[str] = []

    def volume(self, mount: CacheMount) -> tuple[str, bool]:
        """The volume's name, and whether it still needs owner and contents.

        One with contents is only ready when a second volume says so: a run that was killed may have left it half
        full."""
        if mount.sharing == "private":
            return self._resources.volume(), True
        if mount.kept:
            return self._kept.volume(mount.id)
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
