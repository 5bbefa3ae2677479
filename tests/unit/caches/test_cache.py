"""What a command left in a cache is kept, or given up with one warning: it never costs the command."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest

from lineal.caches import cache as module
from lineal.caches.cache import Cache
from lineal.caches.history import Found
from lineal.caches.publication import Publishing, read_parts, read_snapshot
from lineal.caches.rules import CacheRules
from lineal.caches.settings import CacheSettings
from lineal.caches.snapshot import Broken
from lineal.caches.workers import Workers
from lineal.engine import SAME, CacheMount
from lineal.errors import Unreachable
from lineal.oci.types import Blob
from lineal.progress import Notes
from lineal.stages.candidate import Candidate
from lineal.store.layout import Layout
from lineal.store.record import Record
from lineal.store.statement import Making
from lineal.tar import raw
from lineal.tar.header import END
from tests.unit.caches.test_publication import COMMIT, KEY, TREE, bench, published
from tests.unit.caches.test_snapshot import Bench, tar_of_files

__all__ = ["bench"]


class Silent:
    """A store that does not answer until the test is over."""

    def __init__(self) -> None:
        self.over = Event()

    def tags(self, _: str) -> list[str]:
        self.over.wait(60)
        return []


LARGE = 100 << 20
"""Bytes of more packs than are on their way at once."""


class Full(Layout):
    def put_blob(self, blob: Blob) -> None:
        raise Unreachable("The disk is full.", id="LN-4001")


def test_a_store_that_takes_no_pack_costs_the_cache_only(tmp_path: Path) -> None:
    store, told = Full(tmp_path / "store", "layout:test"), list[str]()
    record = Record("", (COMMIT,), TREE, "main", 0, "", "shop", "1")
    by = Publishing(store, record, lambda index: index, None, Making(), 0)
    notes = Notes(told.append, told.append)
    nothing = cast(Any, None)  # no snapshot is looked for
    cache = Cache(KEY, CacheRules(), CacheSettings("shop", {}, nothing, notes, by), Workers(2))
    cache.lost = True
    kept = cache.mount(CacheMount("/root/.cache", "id")).kept
    assert kept is not None and kept.keep is not None
    tar = tar_of_files({"f": random.Random(1).randbytes(LARGE)})
    for _ in "12":
        kept.keep(io.BytesIO(tar))
    cache.publish()
    assert told == ["The cache /root/.cache is not kept: The disk is full."]
    assert cache.report.kept == "given up"


def test_a_store_that_does_not_answer_costs_the_time_that_a_cache_may_take() -> None:
    store, told = Silent(), list[str]()
    notes = Notes(told.append, told.append)
    settings = CacheSettings("shop", {}, cast(Any, SimpleNamespace(store=store)), notes)
    cache = Cache(KEY, CacheRules(max_time=0.1), settings, Workers(1))
    for _ in "12":
        mount = cache.mount(CacheMount("/root/.cache", "id"))
        assert mount.tar is None and mount.kept is not None and not mount.kept.known
    store.over.set()
    assert cache.look() is None
    assert told == [
        "The cache /root/.cache begins empty: its snapshot cannot be used, it took longer than 0.1 seconds."
    ]
    assert cache.report.reason == "begins empty: it took longer than 0.1 seconds"


def test_nothing_is_kept_that_rests_on_a_snapshot_that_was_lost_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cache with `sharing=private` each command restores the snapshot for itself."""
    tag, told = published(bench), list[str]()
    index = bench.store.manifest(tag)
    assert index is not None
    record, files = Record.read(index), {"f": b"content"}
    found = Found(Candidate(record, tag, index), "this commit", read_parts(bench.store, index))
    monkeypatch.setattr(module, "newest", lambda *_: found)
    by = Publishing(bench.store, record, lambda index: index, None, Making(), 0)
    lookup = cast(Any, SimpleNamespace(store=bench.store))
    cache = Cache(
        KEY, CacheRules(), CacheSettings("shop", {}, lookup, Notes(told.append, told.append), by), bench.pool
    )

    def mount() -> tuple[Callable[[], Iterator[bytes]] | None, Callable[[BinaryIO], None]]:
        made = cache.mount(CacheMount("/root/.cache", "id", sharing="private"))
        assert made.kept is not None and made.kept.keep is not None
        return made.tar, made.kept.keep

    begin, keep = mount()
    begin_late, keep_late = mount()
    assert begin is not None and begin_late is not None
    list(begin())
    keep(io.BytesIO(tar_of_files(files)))
    (pack,) = read_snapshot(bench.store, found.parts).packs
    (bench.store.directory / "blobs" / pack.digest.replace(":", "/")).unlink()
    with pytest.raises(Broken):
        list(begin_late())
    begin_anew, keep_anew = mount()
    assert begin_anew is None
    keep_anew(io.BytesIO(tar_of_files(files)))
    keep_late(io.BytesIO(raw.header(b"f", more={SAME: b"1"}) + END))
    cache.publish()
    kept = bench.store.manifest(cache.report.published)
    assert kept is not None
    assert bench.files(read_snapshot(bench.store, read_parts(bench.store, kept))) == files
    assert [line for line in told if "begins empty" in line] and not [line for line in told if "not kept" in line]
