"""A layer becomes a directory: what stands in a tar one after the other counts so, though several threads write."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineal.assemble.allowance import Allowance
from lineal.assemble.unpacked_layer import UnpackedLayer
from lineal.engine.runc.inside.writers import LARGEST
from lineal.engine.runc.tasks import Tasks
from lineal.errors import Unreachable
from lineal.tar.header import Malformed
from tests.histories import PATHS, TARGETS
from tests.unit.assemble.oracle import archive

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


# --- layers of others -----------------------------------------------------------------------------------------------

Entry = tuple[str, str, str]
"""A name, its type's letter, and a link's target."""
_ENTRIES = st.one_of(
    st.tuples(PATHS, st.sampled_from("fffdp"), st.just("")),
    st.tuples(PATHS, st.just("l"), TARGETS),
    st.tuples(PATHS, st.just("h"), PATHS),
    # What a layer has itself, it does not remove: Docker refuses that too, and runc hides it.
    st.tuples(PATHS.map(lambda path: f"{path}/.wh.gone"), st.just("f"), st.just("")),
    st.tuples(PATHS.map(lambda path: f"{path}/.wh..wh..opq"), st.just("f"), st.just("")),
)


def tar_of(entries: list[Entry]) -> bytes:
    values = (target if letter in "lh" else b"%d" % number for number, (_, letter, target) in enumerate(entries))
    rows = zip(entries, values, strict=True)
    return archive(*((name, kind, 0o640, 0, 0, value if kind in "lhf" else "") for (name, kind, _), value in rows))


def unpack(entries: list[Entry], directory: Path) -> list[str]:
    return Tasks(rootless=False).pump(iter([tar_of(entries)]), str(directory), layer=1)


def found_in(directory: Path) -> dict[str, str | bytes]:
    found: dict[str, str | bytes] = {}
    for folder, directories, files in os.walk(directory):
        for path in (Path(folder, name) for name in [*directories, *files]):
            name = str(path.relative_to(directory))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_dir():
                found[name] = "directory"
            elif path.is_file():
                found[name] = path.read_bytes()
    return found


def read_from(layer: UnpackedLayer[bytes]) -> dict[str, str | bytes]:
    found: dict[str, str | bytes] = {}
    for name, inode in layer.names.items():
        if name and layer.is_directory(name):
            found[name] = "directory"
        elif inode and inode.entry.kind == "symlink":
            found[name] = f"-> {inode.entry.target}"
        elif inode and inode.entry.kind == "file":
            found[name] = inode.content or b""
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(_ENTRIES, min_size=1, max_size=10))
@example([("b", "l", "."), ("b/c/c", "f", ""), ("c", "p", ""), ("b/c/b", "f", "")])  # what a link led to is gone
@example([("c", "l", "."), ("c/b/a", "d", ""), ("b", "p", "")])  # and so are its times
@example([("b", "l", ".."), ("b/b/b", "d", "")])  # the link itself is on the way
@example([("a", "l", "b/c"), ("a/f", "f", ""), ("a", "d", "")])  # it leads to what there is not yet
@example([("a", "l", "b"), ("b", "l", "a"), ("a/f", "f", "")])
def test_links_lead_where_the_index_has_them_or_the_entry_is_named(entries: list[Entry]) -> None:
    layer: UnpackedLayer[bytes] = UnpackedLayer(
        lambda _: True, lambda _: True, lambda _, reader: b"".join(reader.content()), Allowance()
    )
    try:
        layer.read(io.BytesIO(tar_of(entries)))
        refused: list[str] = []
    except Malformed as error:
        refused = [f"{error}."]
    with tempfile.TemporaryDirectory() as directory:
        try:
            unpack(entries, Path(directory))
        except Unreachable as error:
            assert error.id == "LN-5017" and error.message.startswith("Layer 1 of the image cannot be read: /")
            # Only the engine does not find what a hard link leads to: the index looks for it in the layers below.
            assert error.message.endswith(("which is no file of the layer.", *refused))
        else:
            assert not refused and found_in(Path(directory)) == read_from(layer)


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", "d/.wh..", "d/.wh...", "l/.wh..."])
def test_a_whiteout_of_what_nothing_can_be_named_is_refused_and_removes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        Unreachable, match=r"Layer 1 of the image cannot be read: /(d/)?\.wh\.+ would remove"
    ) as refused:
        unpack([("d", "d", ""), ("d/kept", "f", ""), ("l", "l", "d"), (name, "f", "")], tmp_path)
    assert refused.value.id == "LN-5017"
    assert (tmp_path / "d").is_dir() and (tmp_path / "l").is_symlink()


def test_what_aufs_kept_for_itself_is_passed_over(tmp_path: Path) -> None:
    names = (".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk", "d/.wh..wh.x")
    assert unpack([(name, kind, "") for name in names for kind in "fd"], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_whiteout_may_remove_the_link_that_it_is_behind(tmp_path: Path) -> None:
    unpack([("c", "l", "/"), ("c/.wh.c", "f", ""), ("c/f", "f", "")], tmp_path)
    assert found_in(tmp_path) == {"c": "directory", "c/f": b"2"}


DEEP = "/".join(["n" * 250] * 10)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("a", "h", "d/b")], "/a is a hard link to /d/b, which is no file of the layer"),
        ([("d", "d", ""), ("a", "h", "d")], "/a is a hard link to a directory"),
        ([("f", "f", ""), ("a", "h", "f/b")], "/a is a hard link to /f/b, which is no file of the layer"),
        ([("d/l", "l", "")], "/d/l is a link to nothing"),
        ([("l", "l", DEEP), (f"l/{DEEP}", "f", "")], "/l/n.* leads to what is a path of"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_named(tmp_path: Path, entries: list[Entry], says: str) -> None:
    with pytest.raises(Unreachable, match=f"Layer 1 of the image cannot be read: {says}") as refused:
        unpack(entries, tmp_path)
    assert refused.value.id == "LN-5017" and "make it anew" in str(refused.value.remedy)
