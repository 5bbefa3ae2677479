"""The cache mounts of one run: each that is kept is restored before its first command, and published at the end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import BinaryIO

from lineal.caches.history import Found, newest
from lineal.caches.key import FROM, CacheKey
from lineal.caches.packs import Deadline, Late, PackReader, PackWriter
from lineal.caches.publication import Publishing, publish, read_snapshot
from lineal.caches.reader import tar_of
from lineal.caches.rules import CacheRules
from lineal.caches.snapshot import NOTHING, Broken, Snapshot
from lineal.caches.writer import SnapshotWriter
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.run_mounts import RunMount
from lineal.dockerfile.stage import Stage
from lineal.engine import BrokenCache, CacheMount, KeptCache, Mount
from lineal.errors import Interrupted, LinealError
from lineal.progress import Notes
from lineal.report.model import CacheReport
from lineal.stages.lookup import Lookup
from lineal.text import duration, printable, size

_WORKERS = 4


@dataclass(frozen=True)
class CacheSettings:
    """`rules` has the images whose caches are kept. Without `publishing` nothing is published."""

    project: str
    rules: Mapping[str, CacheRules]
    lookup: Lookup
    notes: Notes
    publishing: Publishing | None = None
    without: bool = False
    """Whether every cache mount of the run begins empty, and nothing is kept."""


class RunCaches:
    """Safe to use from several threads."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._guard = Lock()
        self._caches: dict[CacheKey, _Cache] = {}
        self._mounted: dict[str, tuple[_Cache, CacheMount]] = {}
        self._of_stages: dict[str, dict[str, CacheReport]] = {}
        self._pool: ThreadPoolExecutor | None = None

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
            return replace(mount, id=f"{mount.id}, {_unique()}", sharing="private", kept=KeptCache())
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
        for cache in list(self._caches.values()):
            cache.publish()

    def reports(self, checksum: str) -> list[CacheReport]:
        """Of the caches of a stage."""
        return list(self._of_stages.get(checksum, {}).values())

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

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

    def _cache(self, stage: Stage, id: str, mount: CacheMount) -> _Cache:
        key = CacheKey.of(self._settings.project, id, stage.platform, mount)
        with self._guard:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="cache")
            if key not in self._caches:
                self._caches[key] = _Cache(key, self._settings.rules[stage.image], self._settings, self._pool)
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


def _unique() -> str:
    return f"run {secrets.token_hex(8)}"


@dataclass
class _Cache:
    """One cache of the run. Its snapshot is looked for once, whoever asks first."""

    key: CacheKey
    rules: CacheRules
    settings: CacheSettings
    pool: ThreadPoolExecutor
    lost: bool = False
    """Whether its snapshot turned out to be broken."""
    report: CacheReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = CacheReport(id=self.key.id)
        self._token = _unique()
        self._guard = Lock()
        self._looked: Future[Found | None] | None = None
        self._fetched: Future[tuple[Snapshot, PackReader] | None] | None = None
        self._restored: tuple[Snapshot, PackReader] | None = None
        self._writer: SnapshotWriter | None = None
        self._latest: Snapshot | None = None
        self._secrets: set[bytes] = set()

    # --- looking ---

    def look(self) -> Found | None:
        """The snapshot to begin with; the report says which, or why there is none."""
        with self._guard:
            first = self._looked is None
            looked = self._looked = self._looked or Future()
        if first:
            try:
                looked.set_result(self._look())
            except BaseException as error:
                looked.set_exception(error)
                raise
        return looked.result()

    def _look(self) -> Found | None:
        try:
            found = newest(self.settings.lookup, self.key.text)
        except Interrupted:
            raise
        except LinealError as error:
            self._cold(f"the store could not be asked: {error.message.rstrip('.')}")
            return None
        if not isinstance(found, Found):
            self.report.reason = found.reason
            return None
        record = found.candidate.record
        self.report.snapshot, self.report.commit = found.candidate.tag, record.commits[-1]
        self.report.reason, self.report.size, self.report.stored = found.rule, found.parts.size, found.parts.stored
        return found

    def expect(self) -> None:
        with self._guard:
            if self._fetched is None:
                self._fetched = self.pool.submit(self._fetch)

    def _fetch(self) -> tuple[Snapshot, PackReader] | None:
        found = self.look()
        if found is None:
            return None
        try:
            snapshot = read_snapshot(self.settings.lookup.store, found.parts)
            if snapshot.size > self.rules.max_size:
                raise Broken(f"it has {size(snapshot.size)}, more than `max_size`")
        except Broken as error:
            self._cold(str(error))
            return None
        packs = PackReader(self.settings.lookup.store, snapshot.packs, self.pool, self._budget())
        packs.begin()
        return snapshot, packs

    # --- restoring ---

    def hide(self, secrets: Sequence[bytes]) -> None:
        """None of these may be in a snapshot."""
        from lineal.engine.secret_parts import parts

        with self._guard:
            self._secrets |= {part for value in secrets for part in parts(value)}

    def mount(self, mount: CacheMount) -> CacheMount:
        self.expect()
        assert self._fetched is not None
        fetched = None if self.lost else self._fetched.result()
        with self._guard:
            self._restored = fetched
        keep = self._keep if self.settings.publishing is not None and mount.writable else None
        tar = mount.tar if fetched is None else lambda: self._tar(*fetched)
        return replace(
            mount, id=f"{mount.id}, {self._token}", tar=tar, kept=KeptCache(keep, known=fetched is not None)
        )

    def _tar(self, snapshot: Snapshot, packs: PackReader) -> Iterator[bytes]:
        started, packs.deadline = time.monotonic(), self._budget()
        try:
            yield from tar_of(snapshot, packs)
        except Broken as error:
            self.lost, self._token = True, _unique()
            self._cold(str(error))
            raise
        self.report.outcome = "restored"
        self.report.seconds = round(self.report.seconds + time.monotonic() - started, 3)
        self.report.bytes_pulled = packs.pulled
        self.settings.notes.note(
            f"cache {printable(self.key.id)}: {size(snapshot.size)} from {self.report.commit[:7]} "
            f"({self.report.reason}), {size(packs.pulled)} pulled in {duration(self.report.seconds) or '0s'}"
        )

    def _cold(self, reason: str) -> None:
        self.report.snapshot, self.report.reason = "", f"begins empty: {reason}"
        self.settings.notes.warn(
            f"The cache {printable(self.key.id)} begins empty: its snapshot cannot be used, {reason}."
        )

    # --- keeping ---

    def _keep(self, tar: BinaryIO) -> None:
        started = time.monotonic()
        with self._guard:
            writer = self._writer = self._writer or self._new_writer()
            writer.secrets, writer.packs.deadline = set(self._secrets), self._budget()
            try:
                self._latest = writer.take(tar)
            except Late as error:
                self._given_up(str(error))
            finally:
                self.report.seconds = round(self.report.seconds + time.monotonic() - started, 3)

    def _new_writer(self) -> SnapshotWriter:
        assert self.settings.publishing is not None
        known, source = self._restored or (NOTHING, None)
        packs = PackWriter(self.settings.publishing.store, self.pool, self._budget())
        return SnapshotWriter(known, source, packs, self.rules.max_size)

    def publish(self) -> None:
        writer, latest, by = self._writer, self._latest, self.settings.publishing
        if writer is None or latest is None or by is None:
            return
        known = self._restored[0] if self._restored else None
        if (known or NOTHING).same_files(latest):
            self.report.kept = "unchanged"
            return
        started, writer.packs.deadline = time.monotonic(), self._budget()
        if writer.source is not None:
            writer.source.deadline = self._budget()
        try:
            snapshot = writer.finish(latest)
            self.report.published, beside = publish(self.key, snapshot, by)
        except Interrupted:
            raise
        except (Broken, LinealError) as error:
            self._given_up(error.message if isinstance(error, LinealError) else str(error))
            return
        self.report.kept = "published"
        self.report.size, self.report.stored = snapshot.size, snapshot.stored
        self.report.bytes_pushed = writer.packs.pushed + beside
        self.report.seconds = round(self.report.seconds + time.monotonic() - started, 3)
        left = f", {writer.left_out} of the oldest files left out" if writer.left_out else ""
        self.settings.notes.note(
            f"cache {printable(self.key.id)}: {size(snapshot.size)} kept{left}, {size(self.report.bytes_pushed)} "
            f"pushed in {duration(time.monotonic() - started) or '0s'}"
        )

    def _budget(self) -> Deadline:
        return Deadline(self.rules.max_time)

    def _given_up(self, reason: str) -> None:
        self._latest, self.report.kept = None, "given up"
        self.settings.notes.warn(f"The cache {printable(self.key.id)} is not kept: {reason.rstrip('.')}.")
