"""A layer becomes a directory: what stands in a tar one after the other counts so, though several threads write."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lineal.engine.runc.inside.writers import LARGEST

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SCRIPT = """
import resource, sys, time
from lineal.engine.runc.inside import unpack
from lineal.engine.runc.inside.writers import Writers

class Answer:
    def send(self, **said): print(said)

begin = Writers.__init__
def late(writers, write):
    def written(*asked):
        time.sleep(float(sys.argv[2]))
        write(*asked)
    begin(writers, written)
Writers.__init__ = late
resource.setrlimit(resource.RLIMIT_FSIZE, [int(sys.argv[3])] * 2)
unpack.unpack({"directory": sys.argv[1], "layer": True, "rootless": False}, Answer())
"""
"""The writers are always late, by so many seconds for each file; no file may have more than so many bytes."""

Row = tuple[str, bytes, str]
"""A name, what is in the file or `link` is to, and the kind."""


def unpacked(
    rows: list[Row], directory: Path, late: float = 0.0, most: int = -1
) -> subprocess.CompletedProcess[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (name, content, kind) in enumerate(rows):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime, entry.uid, entry.gid = 0o640, 1_600_000_000 + number, 7, 8
            entry.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}.get(kind, b"1")
            if kind == "file":
                entry.size = len(content)
            elif kind != "dir":
                entry.linkname = content.decode()
            tar.addfile(entry, io.BytesIO(content))
    directory.mkdir()
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(directory), str(late), str(most)],
        input=buffer.getvalue(), capture_output=True, timeout=300,
    )  # fmt: skip


def test_many_files_are_whole(tmp_path: Path) -> None:
    rows: list[Row] = []
    for folder in range(40):
        rows.append((f"{folder}", b"", "dir"))
        rows += [(f"{folder}/{number}", b"%d" % number * number, "file") for number in range(60)]
        rows.append((f"{folder}/large", bytes(LARGEST + folder), "file"))
    done = unpacked(rows, tmp_path / "layer")
    assert (done.stdout, done.stderr) == (b"{'implied': []}\n", b"")
    for number, (name, content, kind) in enumerate(rows):
        found = (tmp_path / "layer" / name).lstat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (7, 8, 0o640)
        assert found.st_mtime_ns == (1_600_000_000 + number) * 10**9
        assert kind == "dir" or (tmp_path / "layer" / name).read_bytes() == content


def test_a_later_entry_counts_whatever_it_replaces(tmp_path: Path) -> None:
    rows = [
        ("a/twice", b"1", "file"), ("a/twice", b"2", "file"),
        ("below", b"", "file"), ("below/file", b"inside", "file"),
        ("replaced", b"", "file"), ("replaced", b"", "dir"),
        ("emptied/file", b"", "file"), ("emptied", b"a file", "file"),
        ("shared", b"shared", "file"), ("hard", b"shared", "hard"),
        ("hidden", b"", "file"), (".wh.hidden", b"", "file"),
        (".wh.shown", b"", "file"), ("shown", b"shown", "file"),
        ("shrunk", bytes(LARGEST + 1), "file"), ("shrunk", b"small", "file"), ("shrunk", b"smaller", "file"),
        ("linked", b"", "file"), ("linked", b"a", "link"),
        ("unlinked", b"a", "link"), ("unlinked", b"a file", "file"),
    ]  # fmt: skip
    done = unpacked(rows, tmp_path / "layer", 0.02)
    assert (done.stdout, done.stderr) == (b"{'implied': ['a']}\n", b"")
    layer = tmp_path / "layer"
    found = {str(path.relative_to(layer)): path.read_bytes() for path in layer.rglob("*") if path.is_file()}
    assert found == {
        "a/twice": b"2", "below/file": b"inside", "emptied": b"a file", "shared": b"shared", "hard": b"shared",
        "shown": b"shown", "shrunk": b"smaller", "unlinked": b"a file",
    }  # fmt: skip
    assert (layer / "replaced").is_dir() and (layer / "linked").readlink() == Path("a")
    assert (layer / "hidden").lstat().st_rdev == 0 and stat.S_ISCHR((layer / "hidden").lstat().st_mode)
    assert (layer / "hard").samefile(layer / "shared")


def test_what_is_written_through_links_counts_in_its_order_too(tmp_path: Path) -> None:
    rows: list[Row] = []
    for folder in "abcdef":
        rows += [(folder, b"", "dir"), (f"{folder}{folder}", folder.encode(), "link")]
        rows += [(f"{folder}/file", b"1", "file"), (f"{folder}{folder}/file", b"2", "file")]
    for folder in "abcdef":
        rows += [(f"{folder}/late", b"1", "file"), (f"{folder}{folder}/late", b"2", "file")]
    rows += [("aa/b/file", b"1", "file"), ("aa", b"", "dir"), ("aa/b/file", b"2", "file")]
    done = unpacked(rows, tmp_path / "layer", 0.02)
    assert done.stderr == b""
    for folder in "abcdef":
        assert (tmp_path / "layer" / folder / "file").read_bytes() == b"2"
        assert (tmp_path / "layer" / folder / "late").read_bytes() == b"2"
    assert (tmp_path / "layer/a/b/file").read_bytes() == b"1", "the link is gone"
    assert (tmp_path / "layer/aa/b/file").read_bytes() == b"2"


def test_what_a_writer_could_not_do_is_said(tmp_path: Path) -> None:
    done = unpacked([(str(number), bytes(number), "file") for number in range(50)], tmp_path / "layer", most=40)
    assert done.stderr.endswith(b"OSError: [Errno 27] File too large\n")
