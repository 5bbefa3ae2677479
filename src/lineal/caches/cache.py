"""One cache of a run: its snapshot is looked for, fetched and restored, and what commands leave becomes another."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import BinaryIO, Final

from lineal.caches.history import Found, newest
from lineal.caches.key import CacheKey
from lineal.caches.packs import UNPACKED, Deadline, Late, PackReader, PackWriter, Places, result_of
from lineal.caches.publication import publish, read_snapshot
from lineal.caches.reader import frames_of, tar_of
from lineal.caches.rules import CacheRules
from lineal.caches.settings import CacheSettings
from lineal.caches.snapshot import NOTHING, Broken, Snapshot
from lineal.caches.writer import SnapshotWriter
from lineal.engine import CacheMount, KeptCache
from lineal.errors import Interrupted, LinealError
from lineal.report.model import CacheReport
from lineal.tar.zstd import Invalid
from lineal.text import duration, printable, size

_GIVEN_UP: Final = "given up"
"""What the report says of a cache that is not kept; nor is what a later command leaves in it."""


@dataclass
class Cache:
    """Its snapshot is looked for once, whoever asks first."""

    key: CacheKey
    rules: CacheRules
    settings: CacheSettings
    pool: Executor
    places: Places = field(default_factory=Places)
    lost: bool = False
    """Whether its snapshot cannot be used, or did not come in time."""
    report: CacheReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = CacheReport(id=self.key.id)
        self._token = unique()
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
            self._lose(f"the store could not be asked: {error.message.rstrip('.')}")
            return None
        if self.lost:
            # Whoever waited for it has said why it is not used.
            return None
        if not isinstance(found, Found):
            self.report.reason = found.reason
            if found.broken:
                self._lose(found.reason)
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
            self._lose(str(error))
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
        fetched = self._wait()
        with self._guard:
            self._restored = fetched
        keep = (
            partial(self._keep, fetched is not None)
            if self.settings.publishing is not None and mount.writable
            else None
        )
        id = f"{mount.id}, {self._token}"
        if fetched is None:
            return replace(mount, id=id, kept=KeptCache(keep))
        kept = KeptCache(keep, known=True, restore=lambda take: self._restore(*fetched, take))
        return replace(mount, id=id, tar=lambda: self._tar(*fetched), kept=kept)

    def _wait(self) -> tuple[Snapshot, PackReader] | None:
        """For the snapshot to begin with, and no longer than it may take."""
        assert self._fetched is not None
        try:
            return None if self.lost else result_of(self._fetched, self._budget())
        except Late as error:
            self._lose(str(error))
            return None

    def _tar(self, snapshot: Snapshot, packs: PackReader) -> Iterator[bytes]:
        with self._restoring(snapshot, packs):
            yield from tar_of(snapshot, packs)

    def _restore(self, snapshot: Snapshot, packs: PackReader, take: Callable[[Iterator[bytes]], None]) -> None:
        with self._restoring(snapshot, packs):
            try:
                take(frames_of(snapshot, packs))
            except Invalid as error:
                raise Broken(UNPACKED) from error

    @contextmanager
    def _restoring(self, snapshot: Snapshot, packs: PackReader) -> Iterator[None]:
        started, packs.deadline = time.monotonic(), self._budget()
        try:
            yield
        except Broken as error:
            self._lose(str(error))
            raise
        finally:
            packs.rest()
        self.report.outcome = "restored"
        self.report.seconds = round(self.report.seconds + time.monotonic() - started, 3)
        self.report.bytes_pulled = packs.pulled
        self.settings.notes.note(
            f"cache {printable(self.key.id)}: {size(snapshot.size)} from {self.report.commit[:7]} "
            f"({self.report.reason}), {size(packs.pulled)} pulled in {duration(self.report.seconds) or '0s'}"
        )

    def _lose(self, reason: str) -> None:
        """Do without the snapshot from now on; whoever finds that out first says why."""
        with self._guard:
            first, self.lost = not self.lost, True
            self._token = unique() if first else self._token
            # Nor is anything kept that rests on it.
            self._restored = self._writer = self._latest = None
        if not first:
            return
        self.report.snapshot, self.report.reason = "", f"begins empty: {reason}"
        self.settings.notes.warn(
            f"The cache {printable(self.key.id)} begins empty: its snapshot cannot be used, {reason}."
        )

    # --- keeping ---

    def _keep(self, known: bool, tar: BinaryIO) -> None:
        """`known`: it names files of the snapshot to begin with."""
        started = time.monotonic()
        with self._guard:
            if self.report.kept == _GIVEN_UP or (known and self.lost):
                return
            writer = self._writer = self._writer or self._new_writer()
            writer.secrets, writer.packs.deadline = set(self._secrets), self._budget()
            try:
                self._latest = writer.take(tar)
            except Broken as error:
                self._given_up(str(error))
            finally:
                writer.packs.rest()
                self.report.seconds = round(self.report.seconds + time.monotonic() - started, 3)

    def _new_writer(self) -> SnapshotWriter:
        assert self.settings.publishing is not None
        known, source = self._restored or (NOTHING, None)
        packs = PackWriter(self.settings.publishing.store, self.pool, self._budget(), self.places)
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
            found = self.look() if self._restored else None
            after = found.candidate.record.created if found else 0
            self.report.published, beside = publish(self.key, snapshot, by, after)
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
        self._latest, self.report.kept = None, _GIVEN_UP
        self.settings.notes.warn(f"The cache {printable(self.key.id)} is not kept: {reason.rstrip('.')}.")


def unique() -> str:
    """A part of an id that no other run has."""
    return f"run {secrets.token_hex(8)}"
