"""The cache mounts of one run: each that is kept is restored before its first command, and published at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Lock

from lineal.caches.cache import Cache, unique
from lineal.caches.key import FROM, CacheKey
from lineal.caches.packs import Places
from lineal.caches.settings import CacheSettings
from lineal.caches.workers import Workers
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.run_mounts import RunMount
from lineal.dockerfile.stage import Stage
from lineal.engine import BrokenCache, CacheMount, KeptCache, Mount
from lineal.report.model import CacheReport

_WORKERS = 4


class RunCaches:
    """Safe to use from several threads."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._guard = Lock()
        self._caches: dict[CacheKey, Cache] = {}
        self._mounted: dict[str, tuple[Cache, CacheMount]] = {}
        self._of_stages: dict[str, dict[str, CacheReport]] = {}
        self._pool: Workers | None = None
        self._places = Places()

    def expect(self, stages: Iterable[Stage]) -> None:
        """Look for the snapshots that these stages will ask for, and begin to fetch them."""
        for stage in stages:
            for id, mount in self._known(stage):
                self._cache(stage, id, mount).expect()

    def find(self, stages: Iterable[Stage]) -> None:
        """Look for the same, for a report alone."""
        for stage in stages:
            for id, mount in self._known(stage):
                self._cache(stage, id, mount).look()

    def mount(self, stage: Stage, id: str, mount: CacheMount, secrets: Sequence[bytes]) -> CacheMount:
        """The mount as this run makes it. `id` is the one of the Dockerfile, or the target; it is longer where the
        cache begins with something of another stage. `secrets` are those of the command."""
        if self._settings.without:
            return replace(mount, id=f"{mount.id}, {unique()}", sharing="private", kept=KeptCache())
        rules = self._settings.rules.get(stage.image)
        if rules is None or not (rules.has(id) or rules.has(id.partition(FROM)[0])):
            return mount
        cache = self._cache(stage, id, mount)
        cache.hide(secrets)
        made = cache.mount(mount)
        with self._guard:
            self._mounted[made.id] = cache, mount
        return made

    def again(self, mounts: Sequence[Mount], error: BrokenCache) -> list[Mount]:
        """The mounts of a command that could not begin because a snapshot is broken: without that. Raises the error
        when it was none of these."""
        if not any(mount.id in self._mounted and self._mounted[mount.id][0].lost for mount in _caches(mounts)):
            raise error
        return [self._once_more(mount) if isinstance(mount, CacheMount) else mount for mount in mounts]

    def _once_more(self, mount: CacheMount) -> CacheMount:
        if mount.id not in self._mounted:
            return mount
        cache, original = self._mounted[mount.id]
        made = cache.mount(original)
        with self._guard:
            self._mounted[made.id] = cache, original
        return made

    def publish(self) -> None:
        """Publish what changed, once all has ended well. What cannot be published is told, and no failure."""
        # Not those of the packs, for which these wait.
        together = Workers(min(len(self._caches), _WORKERS))
        try:
            for one in [together.submit(cache.publish) for cache in self._caches.values()]:
                one.result()
        finally:
            together.stop()

    def reports(self, checksum: str) -> list[CacheReport]:
        """Of the caches of a stage."""
        return list(self._of_stages.get(checksum, {}).values())

    def close(self) -> None:
        if self._pool is not None:
            self._pool.stop()

    def _known(self, stage: Stage) -> Iterator[tuple[str, CacheMount]]:
        """The kept mounts of a stage of which all is known before its base is."""
        rules = self._settings.rules.get(stage.image)
        if rules is None or self._settings.without or not isinstance(stage.op, RunInstruction):
            return
        for mount in stage.op.mounts:
            id = _id_of(mount)
            if id and rules.has(id) and mount.source_stage is None:
                mode = 0o755 if mount.mode is None else mount.mode
                yield id, CacheMount("", id, mount.sharing, mode, mount.uid, mount.gid)

    def _cache(self, stage: Stage, id: str, mount: CacheMount) -> Cache:
        key = CacheKey.of(self._settings.project, id, stage.platform, mount)
        with self._guard:
            if self._pool is None:
                self._pool = Workers(_WORKERS)
            if key not in self._caches:
                rules = self._settings.rules[stage.image]
                self._caches[key] = Cache(key, rules, self._settings, self._pool, self._places)
            cache = self._caches[key]
            self._of_stages.setdefault(stage.checksum, {})[key.text] = cache.report
            return cache


def _id_of(mount: RunMount) -> str:
    """Empty for what is no cache, or one that nobody can name yet."""
    if mount.type != "cache" or mount.open:
        return ""
    return mount.id or (mount.target if isinstance(mount.target, str) else "")


def _caches(mounts: Iterable[Mount]) -> list[CacheMount]:
    return [mount for mount in mounts if isinstance(mount, CacheMount)]
