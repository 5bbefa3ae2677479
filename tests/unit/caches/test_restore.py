"""A snapshot's packs become a directory without a tar in between: it holds what its tar does."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from lineal.caches import packs as packs_module
from lineal.caches.reader import frames_of, tar_of
from lineal.caches.snapshot import Broken, Snapshot
from lineal.oci.image import read_blob
from lineal.oci.types import Blob
from tests.unit.caches.test_snapshot import Bench, tar_of_files

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SCRIPT = """
import os, sys
from lineal.engine.runc.inside.restore import restore

class Answer:
    def send(self, **said): print(said)

os.umask(0)
restore({"directory": sys.argv[1], "root": (0o750, 5, 6), "inodes": sys.argv[1] + "-inodes"}, Answer())
"""

Row = tuple[str, bytes, int, int, int, int]
"""Kind and link or size, content, mode, owner, group, time in ns."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def restored(bench: Bench, snapshot: Snapshot, directory: Path) -> str:
    """What the task answers."""
    directory.mkdir()
    stream = b"".join(frames_of(snapshot, bench.reader(snapshot)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(directory)], input=stream, capture_output=True, timeout=300
    )
    return (done.stdout + done.stderr).decode()


def of_directory(directory: Path) -> Iterator[tuple[str, Row]]:
    names: dict[int, str] = {}
    for path in sorted(directory.rglob("*")):
        found, name = path.lstat(), str(path.relative_to(directory))
        first = names.setdefault(found.st_ino, name)
        link = str(path.readlink()) if path.is_symlink() else first if first != name else ""
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        yield name, (link, content, found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime_ns)


def of_tar(snapshot: Snapshot, bench: Bench) -> dict[str, Row]:
    """A hard link has what its file has."""
    rows: dict[str, Row] = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_of(snapshot, bench.reader(snapshot))))) as tar:
        for one in tar:
            content = tar.extractfile(one).read() if one.isreg() else b""  # type: ignore[union-attr]
            seconds, _, rest = one.pax_headers.get("mtime", str(one.mtime)).partition(".")
            time = int(seconds) * 10**9 + int(rest.ljust(9, "0"))
            mode = 0o777 if one.issym() else one.mode
            own = (content, mode, one.uid, one.gid, time) if not one.islnk() else rows[one.linkname][1:]
            rows[one.name] = (one.linkname, *own)
    return rows


def test_the_directory_is_what_the_tar_says(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs_module, "FULL", 2 << 20)
    large = random.Random(1).randbytes(9 << 20)
    files = {f"d/e/{number}": b"%d" % number * number for number in range(200)}
    files |= {"empty": b"", "d/large": large, "again": large[: 3 << 20] + b"and more", "closed/file": b"in it"}
    packed = io.BytesIO(tar_of_files(files, {"d/large": 1_700_000_000.25}, uid=7, gid=8, mode=0o640))
    with tarfile.open(fileobj=packed, mode="a", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, mode in (
            ("d/hard", tarfile.LNKTYPE, "d/e/7", 0o640), ("soft", tarfile.SYMTYPE, "../outside", 0o777),
            ("group", tarfile.DIRTYPE, "", 0o2775), ("set", tarfile.REGTYPE, "", 0o4755),
            ("closed", tarfile.DIRTYPE, "", 0o500),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode, entry.uid, entry.mtime = kind, link, mode, 9, 1_600_000_000.5
            tar.addfile(entry)
        tar.addfile(tarfile.TarInfo("group/file"))
    snapshot, _ = bench.write(packed.getvalue())
    assert len(snapshot.packs) > 4, "files stand in several"
    directory = tmp_path / "cache"
    assert restored(bench, snapshot, directory) == "{'broken': False}\n"
    assert dict(of_directory(directory)) == of_tar(snapshot, bench)
    found = directory.stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o750, 5, 6)


@pytest.mark.parametrize(
    "harm",
    [lambda data: data[:-10], lambda data: data[:20] + bytes(len(data) - 20), lambda _: b"", lambda data: data],
)
def test_a_pack_that_is_not_what_was_said_is_found(
    bench: Bench, tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    found, _ = bench.write(tar_of_files({"f": os.urandom(300_000)}))
    blob = Blob.of(harm(read_blob(bench.store, found.packs[0].digest, 1 << 20)))
    bench.store.put_blob(blob)
    for unpacked in (300_000, 300_001):
        pack = msgspec.structs.replace(found.packs[0], digest=blob.digest, size=blob.size, unpacked=unpacked)
        said = restored(bench, msgspec.structs.replace(found, packs=(pack,)), tmp_path / f"cache-{unpacked}")
        whole = blob.digest == found.packs[0].digest and unpacked == 300_000
        assert said == f"{{'broken': {not whole}}}\n"


def test_a_pack_that_is_gone_is_found_before(bench: Bench) -> None:
    found, _ = bench.write(tar_of_files({"f": b"content"}))
    pack = msgspec.structs.replace(found.packs[0], digest="sha256:" + "0" * 64)
    gone = msgspec.structs.replace(found, packs=(pack,))
    with pytest.raises(Broken):
        b"".join(frames_of(gone, bench.reader(gone)))
