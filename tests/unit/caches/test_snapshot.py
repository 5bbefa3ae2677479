"""The format: what a cache held comes back as it was; anything else is refused, whoever wrote it."""

from __future__ import annotations

import io
import os
import random
import tarfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.caches import packs as packs_module
from lineal.caches import snapshot as module
from lineal.caches.packs import ChunkReader, Deadline, Late, PackReader, PackWriter, Places
from lineal.caches.reader import tar_of
from lineal.caches.snapshot import NOTHING, Broken, Snapshot, sha256
from lineal.caches.writer import SnapshotWriter
from lineal.engine.runc.inside import cache as inside_module
from lineal.engine.runc.inside.cache import CacheReader
from lineal.errors import BuildFailed
from lineal.oci.image import read_blob
from lineal.oci.types import Blob
from lineal.store.layout import Layout
from lineal.tar import zstd
from lineal.tar.writer import MTIME

Files = dict[str, bytes]
DAY = 86_400


class Bench:
    """A store, and what is written there and read from it."""

    def __init__(self, folder: Path) -> None:
        self.store = Layout(folder, "layout:test")
        self.pool = ThreadPoolExecutor(2)

    def write(
        self, tar: bytes, known: Snapshot = NOTHING, limit: int = 1 << 30, secrets: tuple[bytes, ...] = ()
    ) -> tuple[Snapshot, SnapshotWriter]:
        packs = PackWriter(self.store, self.pool, Deadline(60))
        writer = SnapshotWriter(known, self.reader(known), packs, limit, set(secrets))
        return writer.finish(writer.take(io.BytesIO(tar))), writer

    def reader(self, snapshot: Snapshot, seconds: float = 60) -> PackReader:
        return PackReader(self.store, snapshot.packs, self.pool, Deadline(seconds))

    def read(self, snapshot: Snapshot) -> list[tarfile.TarInfo]:
        return self.open(snapshot).getmembers()

    def open(self, snapshot: Snapshot) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(b"".join(tar_of(snapshot, self.reader(snapshot)))))

    def files(self, snapshot: Snapshot) -> Files:
        tar = self.open(snapshot)
        return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def tar_of_files(files: Files, times: dict[str, float] | None = None, **more: Any) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        made: set[str] = set()
        for name, content in files.items():
            for depth in range(1, name.count("/") + 1):
                above = "/".join(name.split("/")[:depth])
                if above not in made:
                    made.add(above)
                    entry = tarfile.TarInfo(above)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(entry)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), (times or {}).get(name, 1)
            for key, value in more.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and not name.endswith(".") and name == name.strip("./"))
CONTENTS = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda seed, size: seed * (size // max(len(seed), 1)), st.binary(min_size=1, max_size=50),
              st.integers(0, 3 << 20)),
)  # fmt: skip


@given(st.dictionaries(st.builds("/".join, st.lists(NAMES, min_size=1, max_size=3)), CONTENTS, max_size=6), st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_kept_comes_back(bench: Bench, files: Files, data: st.DataObject) -> None:
    parents = {"/".join(name.split("/")[:depth]) for name in files for depth in range(1, name.count("/") + 1)}
    files = {name: content for name, content in files.items() if name not in parents and len(name.encode()) < 250}
    found, _ = bench.write(tar_of_files(files))
    assert bench.files(found) == files
    assert Snapshot.decode(found.encode()) == found
    # A second one, of which a part is the same.
    kept = {name: content for name, content in files.items() if data.draw(st.booleans())}
    changed = kept | {"new": data.draw(CONTENTS)}
    second, _ = bench.write(tar_of_files(changed), found)
    assert bench.files(Snapshot.decode(second.encode())) == changed
    assert found.same_files(second) == (changed == files)


def test_times_modes_owners_and_links_come_back(bench: Bench) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link in (
            ("d", tarfile.DIRTYPE, ""), ("d/file", tarfile.REGTYPE, ""), ("d/hard", tarfile.LNKTYPE, "d/file"),
            ("soft", tarfile.SYMTYPE, "../outside"),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode, entry.uid, entry.gid = kind, link, 0o4750, 1000, 70_000_000
            entry.mtime = 1_700_000_000.123456789
            tar.addfile(entry)
    found, _ = bench.write(packed.getvalue())
    members = {one.name: one for one in bench.read(found)}
    assert {name: (one.type, one.linkname) for name, one in members.items()} == {
        "d": (tarfile.DIRTYPE, ""), "d/file": (tarfile.REGTYPE, ""), "d/hard": (tarfile.LNKTYPE, "d/file"),
        "soft": (tarfile.SYMTYPE, "../outside"),
    }  # fmt: skip
    for one in members.values():
        assert (one.mode, one.uid, one.gid) == (0o4750, 1000, 70_000_000)
        assert one.mtime < MTIME, "older than what a COPY gives: see test_times"
    assert all(abs(one.mtime / 1e9 - 1_700_000_000.123456789) < 1e-6 for one in found.entries)


def test_only_what_is_new_is_sent(bench: Bench) -> None:
    large = random.Random(1).randbytes(12 << 20)
    first, _ = bench.write(tar_of_files({"large": large}))
    inside = large[: 5 << 20] + b"a few bytes more" + large[5 << 20 :]
    second, writer = bench.write(tar_of_files({"large": inside}), first)
    assert bench.files(second) == {"large": inside}
    assert writer.packs.pushed < 6 << 20
    _, unchanged = bench.write(tar_of_files({"large": inside, "copy": inside}), second)
    assert unchanged.packs.pushed == 0


def test_what_is_as_it_was_is_named_and_not_read(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the engine runc tells it: many names in one entry."""
    monkeypatch.setattr(inside_module, "_TOGETHER", 4)
    cache = tmp_path / "cache"
    (cache / "d").mkdir(parents=True)
    for number in range(8):
        (cache / "d" / f"{number}").write_text(f"{number}" * 1000)
    os.link(cache / "d/1", cache / "one")
    before, _ = bench.write(tar_of_cache(cache))
    since = wait_for_the_next_tick(cache / "d/7")
    (cache / "d/5").write_text("other")
    (cache / "d/6").unlink()
    tar = tar_of_cache(cache, since)
    assert b"1111" not in tar and b"other" in tar
    after, writer = bench.write(tar, before)
    assert bench.files(after) == {f"d/{name}": f"{name}".encode() * 1000 for name in "012347"} | {"d/5": b"other"}
    assert {one.name: one.linkname for one in bench.read(after) if one.islnk()} == {"one": "d/1"}
    (cache / "a-secret-of-17-bytes").touch()
    known, _ = bench.write(tar_of_cache(cache), after)
    search = SnapshotWriter(known, None, writer.packs, 1 << 30, {b"a-secret-of-17-bytes"})
    with pytest.raises(BuildFailed) as caught:
        search.take(io.BytesIO(tar_of_cache(cache, time.time_ns() + DAY * 10**9)))
    assert caught.value.id == "LN-5009"


def test_what_was_moved_with_its_directory_is_read_where_it_is(bench: Bench, tmp_path: Path) -> None:
    """The time of its last change is not that of the move."""
    cache = tmp_path / "cache"
    for name in ("one/in", "other/in", "third/in"):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").write_text(name.upper())
    before, _ = bench.write(tar_of_cache(cache))
    known = inodes_of(cache)
    since = wait_for_the_next_tick(cache / "third/in/file")
    for old, new in (("one", "two"), ("other", "one"), ("two", "other")):
        (cache / old).rename(cache / new)
    tar = tar_of_cache(cache, since, known)
    assert b"OTHER/IN" in tar and b"THIRD/IN" not in tar
    after, _ = bench.write(tar, before)
    moved = {"one/in/file": b"OTHER/IN", "other/in/file": b"ONE/IN"}
    assert bench.files(after) == moved | {"third/in/file": b"THIRD/IN"}


def test_what_is_as_it_was_is_as_the_command_found_it(bench: Bench, tmp_path: Path) -> None:
    """Not as another one left it that has a directory of its own (`sharing=private`)."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("changed", "gone", "own"):
        (cache / name).write_text("before")
    known, writer = bench.write(tar_of_cache(cache))
    since = wait_for_the_next_tick(cache / "own")
    (cache / "own").write_text("after")
    left = tar_of_cache(cache, since)
    writer = SnapshotWriter(known, bench.reader(known), writer.packs, 1 << 30)
    writer.take(io.BytesIO(tar_of_files({"changed": b"by another"})))
    found = writer.finish(writer.take(io.BytesIO(left)))
    assert bench.files(found) == {"changed": b"before", "gone": b"before", "own": b"after"}


def wait_for_the_next_tick(file: Path) -> int:
    """The first time of a file that is made after this one: the clock of files is coarse."""
    probe = file.with_name("probe")
    while True:
        probe.touch()
        found = probe.stat().st_ctime_ns
        probe.unlink()
        if found > file.stat().st_ctime_ns:
            return found


def tar_of_cache(cache: Path, since: int = 0, known: Mapping[bytes, int] | None = None) -> bytes:
    packed = io.BytesIO()
    CacheReader(str(cache), since, inodes_of(cache) if known is None else known, packed, rootless=False).write()
    return packed.getvalue()


def inodes_of(cache: Path) -> dict[bytes, int]:
    return {os.fsencode(path.relative_to(cache)): path.stat().st_ino for path in cache.rglob("*") if path.is_dir()}


def test_packs_of_which_little_is_used_are_made_anew(bench: Bench) -> None:
    files = {str(number): os.urandom(100_000) for number in range(40)}
    first, _ = bench.write(tar_of_files(files))
    few = {str(number): files[str(number)] for number in range(3)}
    second, _ = bench.write(tar_of_files(few), first)
    assert bench.files(second) == few
    assert sum(pack.unpacked for pack in second.packs) == 300_000
    assert not {pack.digest for pack in first.packs} & {pack.digest for pack in second.packs}


def test_many_small_packs_become_one(bench: Bench) -> None:
    files: Files = {}
    found = NOTHING
    for number in range(12):
        files[str(number)] = os.urandom(1000)
        found, _ = bench.write(tar_of_files(files), found)
        assert bench.files(found) == files
        assert len(found.packs) <= 10


def test_the_oldest_files_leave_first(bench: Bench) -> None:
    files = {name: bytes([ord(name)]) * 1000 for name in "abcd"}
    found, writer = bench.write(tar_of_files(files, {"a": 9, "b": 2, "c": 1, "d": 5}), limit=2500)
    assert set(bench.files(found)) == {"a", "d"}
    assert writer.left_out == 2


def test_a_tool_that_only_looked_changes_nothing(bench: Bench) -> None:
    first, _ = bench.write(tar_of_files({"a": b"a"}, {"a": 10 * DAY}))
    for seconds, same in ((10 * DAY + 3600, True), (12 * DAY, False)):
        later, _ = bench.write(tar_of_files({"a": b"a"}, {"a": seconds}), first)
        assert first.same_files(later) is same


@pytest.mark.parametrize(
    "content", [b"xx correct horse battery staple", b"x" * 300_000 + b"correct horse battery staple"]
)
def test_a_secret_is_found(bench: Bench, content: bytes) -> None:
    with pytest.raises(BuildFailed) as failed:
        bench.write(tar_of_files({"d/f": content}), secrets=(b"correct horse battery staple",))
    assert failed.value.message == "The command left a secret in /d/f of a cache mount, which would be kept."
    with pytest.raises(BuildFailed):
        bench.write(tar_of_files({"correct horse battery staple": b""}), secrets=(b"correct horse battery staple",))


# --- broken ones ----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_anything_else_is_broken(data: bytes) -> None:
    for given_data in (data, zstd.compress(data), zstd.compress(msgspec.msgpack.encode([data, [], []]))):
        with pytest.raises(Broken):
            Snapshot.decode(given_data)


PACK = ["sha256:" + "0" * 64, 10, 10]
CHUNK = [b"0" * 32, 0, 0, 10]


def entry(path: bytes = b"f", kind: str = "file", link: bytes = b"", chunks: tuple[int, ...] = ()) -> list[Any]:
    return [path, kind, 0o644, 0, 0, 0, link, chunks]


@pytest.mark.parametrize(
    ("entries", "chunks", "packs"),
    [
        ([entry(b"../f")], [], []),
        ([entry(b"/f")], [], []),
        ([entry(b"")], [], []),
        ([entry(b"a" * 256)], [], []),
        ([entry(b"a\0b")], [], []),
        ([entry(b"d/f")], [], []),
        ([entry(b"d", "symlink", b"/etc"), entry(b"d/f")], [], []),
        ([entry(), entry()], [], []),
        ([entry(b"h", "hardlink", b"f")], [], []),
        ([entry(b"s", "symlink", b"")], [], []),
        ([entry(chunks=(0,))], [], []),
        ([entry(b"d", "directory", chunks=(0,))], [CHUNK], [PACK]),
        ([entry(chunks=(-1,))], [CHUNK], [PACK]),
        ([], [CHUNK], []),
        ([], [[b"0" * 32, 0, 1, 10]], [PACK]),
        ([], [[b"0" * 32, 0, 0, -1]], [PACK]),
        ([], [], [["sha256:no", 1, 1]]),
        ([], [], [["sha256:" + "0" * 64, 1, module.MAX_PACK + 1]]),
        ([[b"f", "device", 0o644, 0, 0, 0, b"", ()]], [], []),
        ([[b"f", "file", 0o644, -1, 0, 0, b"", ()]], [], []),
        ([[b"f", "file", 0o10000, 0, 0, 0, b"", ()]], [], []),
    ],
)  # fmt: skip
def test_a_snapshot_that_lies_is_broken(entries: Any, chunks: Any, packs: Any) -> None:
    with pytest.raises(Broken):
        Snapshot.decode(zstd.compress(msgspec.msgpack.encode([entries, chunks, packs])))


def test_an_index_that_unpacks_to_too_much_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INDEX", 1000)
    with pytest.raises(Broken):
        Snapshot.decode(zstd.compress(bytes(1_000_000)))


def test_a_pack_that_is_gone_or_lies_is_broken(bench: Bench) -> None:
    found, _ = bench.write(tar_of_files({"f": b"content"}))
    (pack,) = found.packs
    for unpacked in (6, 8):
        lies = msgspec.structs.replace(found, packs=(msgspec.structs.replace(pack, unpacked=unpacked),))
        with pytest.raises(Broken):
            b"".join(tar_of(lies, bench.reader(lies)))
    gone = msgspec.structs.replace(found, packs=(msgspec.structs.replace(pack, digest=PACK[0]),))
    with pytest.raises(Broken):
        b"".join(tar_of(gone, bench.reader(gone)))


@pytest.mark.parametrize(
    "harm", [lambda data: data[:-10], lambda data: data[:20] + bytes(len(data) - 20), lambda _: b""]
)
def test_a_pack_that_is_no_whole_frame_is_broken(bench: Bench, harm: Callable[[bytes], bytes]) -> None:
    found, _ = bench.write(tar_of_files({"f": os.urandom(300_000)}))
    blob = Blob.of(harm(read_blob(bench.store, found.packs[0].digest, 1 << 20)))
    bench.store.put_blob(blob)
    pack = msgspec.structs.replace(found.packs[0], digest=blob.digest, size=blob.size)
    other = msgspec.structs.replace(found, packs=(pack,))
    with pytest.raises(Broken, match="cannot be unpacked"):
        b"".join(tar_of(other, bench.reader(other)))


def test_the_time_budget_ends_it(bench: Bench) -> None:
    found, _ = bench.write(tar_of_files({"f": b"content"}))
    with pytest.raises(Late):
        b"".join(tar_of(found, bench.reader(found, seconds=-1)))


def test_nothing_is_lost_of_a_pack_that_was_late(bench: Bench) -> None:
    """What was said to be in it would be looked for in another."""
    packs = PackWriter(bench.store, bench.pool, Deadline(-1))
    large = os.urandom(module.MAX_PACK // 4)
    first = packs.add(large)
    with pytest.raises(Late):
        packs.add(b"next")
    packs.deadline = Deadline(60)
    assert (first, packs.add(b"next")) == ((0, 0), (1, 0))
    assert [pack.unpacked for pack in packs.packs()] == [len(large), 4]


def test_what_was_added_stays_while_memory_is_let_go(bench: Bench) -> None:
    packs = PackWriter(bench.store, bench.pool, Deadline(60))
    places = [packs.add(b"one")]
    packs.rest()
    places.append(packs.add(b"two"))
    (pack,) = packs.packs()
    assert places == [(0, 0), (0, 3)]
    assert zstd.Frame(read_blob(bench.store, pack.digest, 1000), 6).read(0, 6) == b"onetwo"


def test_all_caches_of_a_run_have_the_memory_of_three_packs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    begin = packs_module._Place.__init__

    def counted(place: Any, most: int) -> None:
        made.append(most)
        begin(place, most)

    monkeypatch.setattr(packs_module._Place, "__init__", counted)
    monkeypatch.setattr(packs_module, "FULL", 2000)
    places = Places()

    def written(seed: int) -> bool:
        writer = PackWriter(bench.store, bench.pool, Deadline(60), places)
        chunks = [random.Random(f"{seed} {number}").randbytes(900) for number in range(40)]
        stands = [writer.add(chunk) for chunk in chunks]
        packs = [zstd.decompress(read_blob(bench.store, pack.digest, 4000), 2000) for pack in writer.packs()]
        return [packs[number][start : start + 900] for number, start in stands] == chunks

    with ThreadPoolExecutor(6) as together:
        assert all(together.map(written, range(6)))
    assert made == [2000] * 3


def test_commands_that_begin_together_restore_from_the_same_packs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private cache is restored for each of them."""
    monkeypatch.setattr(packs_module, "FULL", 1000)
    found, _ = bench.write(tar_of_files({f"{number}": os.urandom(900) for number in range(300)}))
    whole = b"".join(tar_of(found, bench.reader(found)))
    reader = bench.reader(found)

    def restore(_: int) -> bytes:
        tar = b"".join(tar_of(found, reader))
        reader.rest()
        return tar

    with ThreadPoolExecutor(6) as together:
        assert set(together.map(restore, range(12))) == {whole}


def test_packs_are_read_in_any_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs_module, "FULL", 3000)
    found, _ = bench.write(tar_of_files({f"{number}": os.urandom(900) for number in range(40)}))
    assert len(found.packs) == 14, "several are read, and several chunks are in each"
    numbers = [5, 20, 21, 22, 5, 30, 31, 5, *random.Random(1).choices(range(40), k=300)]
    reader = ChunkReader(bench.reader(found))
    for chunk in (found.chunks[number] for number in numbers):
        assert sha256(reader.content(chunk)) == chunk.sha256
