"""A snapshot in the store: found by its key, and by nothing else; one of a later version is said to be one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineal.caches import publication
from lineal.caches.key import CacheKey
from lineal.caches.publication import Publishing, publish, read_parts, read_record, read_snapshot
from lineal.caches.snapshot import Broken
from lineal.store.record import Record
from lineal.store.statement import Making
from lineal.store.tags import parse_cache_tag, parse_stage_tag
from tests.unit.caches.test_snapshot import Bench, tar_of_files

KEY = CacheKey("shop", "/root/.cache", "linux/amd64", 0o755, 0, 0)
COMMIT, TREE = "1" * 40, "2" * 40


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def published(bench: Bench, content: bytes = b"content", digits: int = 7, after: int = 0) -> str:
    snapshot, _ = bench.write(tar_of_files({"f": content}))
    record = Record("", (COMMIT,), TREE, "main", 0, "", "shop", "1")
    by = Publishing(bench.store, record, lambda index: index, None, Making(), digits)
    return publish(KEY, snapshot, by, after)[0]


def test_a_snapshot_is_read_as_it_was_published(bench: Bench) -> None:
    tag = published(bench)
    index = bench.store.manifest(tag)
    assert index is not None
    record = read_record(index, tag, KEY.text)
    assert record is not None
    assert (record.commits, record.branch, str(record.created)[-3:]) == ((COMMIT,), "main", "007")
    parts = read_parts(bench.store, index)
    assert parts.size == 7
    assert bench.files(read_snapshot(bench.store, parts)) == {"f": b"content"}


def test_it_is_no_stage_and_no_other_cache(bench: Bench) -> None:
    tag = published(bench)
    index = bench.store.manifest(tag)
    assert index is not None
    assert (parse_cache_tag(tag) or ("",))[0] == KEY.text
    assert parse_stage_tag(tag) is None
    other = replace(KEY, uid=1000)
    assert read_record(index, tag, other.text) is None
    assert read_record(index, tag[:-1] + "8", KEY.text) is None


def test_two_in_one_moment_have_two_tags(bench: Bench) -> None:
    tags = {published(bench, b"one"), published(bench, b"two")}
    assert tags == set(bench.store.tags("cache-"))
    assert len(tags) == 2


def test_what_is_made_of_a_snapshot_is_later_though_the_clock_does_not_tell(bench: Bench) -> None:
    first = int(published(bench, b"one", digits=999)[-13:])
    second = int(published(bench, b"two", digits=0, after=first + 5000)[-13:])
    assert first < second and 5000 < second - first <= 6000


def test_one_of_a_later_version_is_broken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "INDEX", "application/vnd.dev.lineal.cache.v2")
    tag = published(bench)
    monkeypatch.undo()
    index = bench.store.manifest(tag)
    assert index is not None
    with pytest.raises(Broken, match="another version of Lineal made it"):
        read_parts(bench.store, index)


@pytest.mark.parametrize("change", ["project", "id", "platform", "mode", "uid", "gid"])
def test_everything_in_the_key_counts(change: str) -> None:
    facts: dict[str, Any] = {name: getattr(KEY, name) for name in KEY.__slots__}
    facts[change] = 1 if change in ("mode", "uid", "gid") else "other"
    assert CacheKey(**facts).text != KEY.text
