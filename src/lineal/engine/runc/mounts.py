"""A command's mounts on this machine: directories and files that a task only has to bind."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lineal.engine import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount
from lineal.engine.runc.agent import forwarded
from lineal.engine.runc.caches import Caches, OpenCache
from lineal.engine.runc.tasks import Tasks
from lineal.errors import BadConfiguration

_SAVED = 2
"""Caches that are read at a time, each by a process of 12 MB."""


class CommandMounts:
    """A command's mounts as its task is to make them; sources are directories and files that are there."""

    def __init__(self, caches: Caches, tasks: Tasks, directory: Path, held: ExitStack) -> None:
        self._caches = caches
        self._tasks = tasks
        self._directory = directory
        self._held = held
        self._opened: dict[str, OpenCache] = {}
        self._made = 0

    def of(self, mounts: Sequence[Mount]) -> list[dict[str, Any]]:
        caches = [one for one in mounts if isinstance(one, CacheMount)]
        # In one order by all, so that no two commands wait for each other.
        for one in sorted(caches, key=lambda mount: mount.id):
            self._open(one)
        ordered = sorted(mounts, key=lambda one: (isinstance(one, SecretMount | SshMount), one.target))
        _check_places(ordered)
        return [self._one(mount) for mount in ordered]

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Give away what the caches hold that the run keeps, beside what is done in here: the command has ended
        well."""
        kept: dict[str, list[OpenCache]] = {}
        for cache in self._opened.values():
            if cache.kept:
                kept.setdefault(cache.mount.id, []).append(cache)
        if not kept:
            yield
            return
        with ThreadPoolExecutor(_SAVED, thread_name_prefix="save") as pool:
            saved = [pool.submit(self._save, caches) for caches in kept.values()]
            yield
        for one in saved:
            one.result()

    def _save(self, caches: Sequence[OpenCache]) -> None:
        """Several with one id after each other: the last one is what is kept."""
        for cache in caches:
            self._caches.save(cache)

    def _open(self, mount: CacheMount) -> None:
        if mount.sharing == "private" or mount.id not in self._opened:
            place = self._caches.opened(mount, self._new())
            self._opened[_key(mount)] = self._held.enter_context(place)

    def _new(self) -> Path:
        self._made += 1
        return self._directory / f"mount-{self._made}"

    def _one(self, mount: Mount) -> dict[str, Any]:
        if isinstance(mount, CacheMount):
            return _plain(mount.target, self._opened[_key(mount)].directory, mount.writable)
        if isinstance(mount, BindMount):
            return _plain(mount.target, self._bound(mount), mount.writable)
        if isinstance(mount, TmpfsMount):
            return {"kind": "tmpfs", "target": mount.target, "size": mount.size, "writable": mount.writable}
        owner = {"mode": mount.mode, "uid": mount.uid, "gid": mount.gid}
        if isinstance(mount, SecretMount):
            value = base64.b64encode(mount.value).decode()
            return {"kind": "secret", "target": mount.target, "value": value, **owner}
        socket = self._held.enter_context(forwarded(mount.agent, self._directory, self._new().name))
        return _plain(mount.target, socket, True) | {"kind": "socket", **owner}

    def _bound(self, mount: BindMount) -> Path:
        place = self._new()
        place.mkdir()
        root = None if mount.single else mount.root
        self._tasks.pump(mount.tar(), str(place), root=root)
        if not mount.single:
            return place
        file = next(place.iterdir(), None)
        if file is None:
            raise BadConfiguration(
                f"There is no file to mount at {mount.target}.", id="LN-5011", remedy="Check the mount's source."
            )
        return file


def _key(mount: CacheMount) -> str:
    return f"{mount.target}\0{mount.id}" if mount.sharing == "private" else mount.id


def _plain(target: str, source: Path, writable: bool) -> dict[str, Any]:
    return {"kind": "bind", "target": target, "source": str(source), "writable": writable}


def _check_places(mounts: list[Mount]) -> None:
    """A file's place in a cache would stay there. Raises `BadConfiguration`."""
    caches = [mount.target.rstrip("/") + "/" for mount in mounts if isinstance(mount, CacheMount)]
    for mount in mounts:
        single = isinstance(mount, SecretMount | SshMount) or (isinstance(mount, BindMount) and mount.single)
        if single and any(mount.target.startswith(cache) for cache in caches):
            raise BadConfiguration(
                f"A file cannot be mounted at {mount.target}, inside a cache mount.", id="LN-5011",
                remedy="Choose a target outside of the other mounts.",
            )  # fmt: skip
