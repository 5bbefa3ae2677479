"""Tools that compare times believe nothing of a cache that they made of a file that the commit has changed since."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.caches.snapshot import LATEST, Entry, Snapshot
from lineal.caches.times import is_restored, restored
from lineal.tar.writer import MTIME
from tests.unit.caches.test_snapshot import Bench, tar_of_files

SECOND = 10**9
HASHED = b"1f/" + b"1f" * 32 + b"-d"


def entry(mtime: int, path: bytes = b"target/app") -> Entry:
    return Entry(path, "file", 0o644, 0, 0, mtime)


@given(st.integers(0, LATEST - 1), st.integers(0, LATEST - 1))
def test_what_is_restored_is_older_than_what_is_copied_and_in_its_order(one: int, other: int) -> None:
    times = [restored(entry(mtime)) for mtime in sorted((one, other))]
    assert times == sorted(times)
    # zip has no times before 1980.
    assert all((MTIME - 86_400) * SECOND <= time < MTIME * SECOND for time in times)


def test_a_millisecond_stays_one_that_can_be_seen() -> None:
    times = [restored(entry(1_700_000_000 * SECOND + number * 10**6)) for number in range(100)]
    assert len(set(times)) == 100


def test_what_is_named_by_a_hash_keeps_its_time() -> None:
    assert restored(entry(1_700_000_000 * SECOND + 5, HASHED)) == 1_700_000_000 * SECOND + 5
    assert restored(entry(1_700_000_000 * SECOND, HASHED + b"/file")) < MTIME * SECOND


@given(st.integers(0, LATEST - 1))
def test_a_time_that_was_given_is_known_again(mtime: int) -> None:
    one = entry(mtime)
    assert is_restored(restored(one), one)
    assert is_restored(restored(one) // SECOND * SECOND, one), "Docker Engine gives whole seconds"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def test_times_do_not_wear_off(bench: Bench) -> None:
    """A file that no command touches has, in the next snapshot, the time that it had in the first."""
    first, _ = bench.write(
        tar_of_files({"old": b"1", "touched": b"2"}, {"old": 1_700_000_000, "touched": 1_700_000_000})
    )
    packed = io.BytesIO()
    with bench.open(first) as before, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as after:
        for member in before:
            content = before.extractfile(member)
            if member.name == "touched":
                member.mtime, member.pax_headers = 1_800_000_000, {}
            after.addfile(member, content)
    second, _ = bench.write(packed.getvalue(), first)
    assert {one.path: one.mtime // SECOND for one in second.entries} == {
        b"old": 1_700_000_000,
        b"touched": 1_800_000_000,
    }


# --- real tools -----------------------------------------------------------------------------------------------------


class Workspace:
    """Sources as Lineal copies them, and a cache that is taken away and restored."""

    def __init__(self, place: Path, cache: str) -> None:
        self.place, self.cache = place, place / cache
        self.bench = Bench(place.with_name("store"))
        self.snapshot = Snapshot((), (), ())

    def copy(self, **files: str) -> None:
        """The working directory of a new container."""
        shutil.rmtree(self.place, ignore_errors=True)
        for name, text in files.items():
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            os.utime(path, (MTIME, MTIME))

    def run(self, *command: str, env: dict[str, str] | None = None) -> str:
        """A command with the cache, and what it says; the cache is kept."""
        self.cache.mkdir(exist_ok=True)
        with self.bench.open(self.snapshot) as tar:
            for member in tar:
                tar.extract(member, self.cache, set_attrs=True, filter="fully_trusted")
                if member.isreg():
                    exact = int(float(member.pax_headers.get("mtime", member.mtime)) * 10**6) * 1000
                    os.utime(self.cache / member.name, ns=(exact, exact))
        done = subprocess.run(command, cwd=self.place, env=os.environ | (env or {}), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self.cache.rglob("*")):
                tar.add(path, str(path.relative_to(self.cache)), recursive=False)
        self.snapshot, _ = self.bench.write(packed.getvalue(), self.snapshot)
        return done.stdout + done.stderr


@pytest.mark.skipif(not (shutil.which("cargo") and shutil.which("cc")), reason="there is no cargo")
def test_cargo_compiles_what_has_changed(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "src", "target")
    manifest = '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'
    for text in ("one", "two"):
        work.copy(**{"Cargo.toml": manifest, "src/main.rs": f'fn main() {{ println!("{text}"); }}'})
        assert work.run("cargo", "run", "--quiet", "--offline").startswith(text)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_makes_what_has_changed_and_nothing_else(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "src", "out")
    rules = (
        "out/app: out/fetched.o app.c\n\tcat out/fetched.o app.c >$@; echo made app\n"
        "out/fetched.o: out/fetched\n\tcp $< $@; echo made fetched\n"
        "out/fetched:\n\techo fetched >$@; echo fetched\n"
    )
    said = []
    for text in ("one", "two"):
        work.copy(Makefile=rules, **{"app.c": text})
        said.append(work.run("make", "--silent").split("\n")[:-1])
    assert said == [["fetched", "made fetched", "made app"], ["made app"]]
    assert (work.cache / "app").read_text() == "fetched\ntwo"


@pytest.mark.skipif(not (shutil.which("ccache") and shutil.which("cc")), reason="there is no ccache")
def test_ccache_finds_what_it_has_compiled(tmp_path: Path) -> None:
    """It compares contents, and the compiler's time, which is the image's."""
    work = Workspace(tmp_path / "src", "cache")
    own = {"CCACHE_DIR": str(work.cache), "CCACHE_TEMPDIR": str(tmp_path / "tmp")}
    compiles = "ccache --zero-stats >&2; ccache cc -c app.c -o app.o; cc app.o -o app; ./app; ccache --print-stats"
    source = '#include "app.h"\nint puts(const char *); int main() { puts(TEXT); }'
    said = []
    for text in ("one", "one", "two"):
        work.copy(**{"app.h": f'#define TEXT "{text}"', "app.c": source})
        first, *lines = work.run("sh", "-c", compiles, env=own).splitlines()
        counts = {name: int(count) for name, _, count in (line.partition("\t") for line in lines) if count}
        hits = counts["direct_cache_hit"] + counts["preprocessed_cache_hit"]
        said.append((first, hits, counts["cache_miss"]))
    assert said == [("one", 0, 1), ("one", 1, 0), ("two", 0, 1)]
