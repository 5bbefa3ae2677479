from __future__ import annotations

import gzip
import io
import json
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.assemble.filesystem import Filesystem
from lineal.errors import BuildFailed, Unreachable
from lineal.tar.compression import open_archive
from tests.unit.assemble.oracle import archive

Row = tuple[str, str, int, int, int, str | bytes]
PASSWD = b"root:x:0:0::/:/bin/sh\n# comment\nbroken\napp:x:1000:1001::/:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:app\n"


def folder(name: str, mode: int = 0o755, uid: int = 0) -> Row:
    return (name, "d", mode, uid, 0, "")


def file(name: str, data: bytes = b"") -> Row:
    return (name, "f", 0o644, 0, 0, data)


def link(name: str, target: str) -> Row:
    return (name, "l", 0o777, 0, 0, target)


def image(*layers: list[Row]) -> Filesystem:
    filesystem = Filesystem.empty()
    for number, rows in enumerate(layers):
        filesystem = filesystem.apply(number, io.BytesIO(archive(*rows)))
    return filesystem


def test_directories_remember_the_layer_where_they_began() -> None:
    filesystem = image([folder("a"), folder("a/b", 0o700, 5)], [folder("a", 0o711), folder("c"), file("a/b/f")])
    assert {path: tuple(entry) for path, entry in filesystem.directories.items()} == {
        "": (0o755, 0, 0, 0), "a": (0o711, 0, 0, 0), "a/b": (0o700, 5, 0, 0), "c": (0o755, 0, 0, 1),
    }  # fmt: skip


def test_missing_parents_are_made() -> None:
    assert set(image([file("x/y/z")]).directories) == {"", "x", "x/y"}


@pytest.mark.parametrize(
    "change",
    [[file(".wh.a")], [file("a")], [link("a", "b")], [file(".wh..wh..opq")], [folder("a"), file("a/.wh..wh..opq")]],
)
def test_what_a_layer_removes_is_gone(change: list[Row]) -> None:
    filesystem = image([folder("a"), folder("a/b"), link("a/l", "b"), folder("ab")], change)
    assert "a/b" not in filesystem.directories
    assert "a/l" not in filesystem.symlinks
    if change != [file(".wh..wh..opq")]:
        assert "ab" in filesystem.directories


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", ".wh..", "d/.wh..."])
def test_a_whiteout_of_what_nothing_can_be_named_is_refused(name: str) -> None:
    with pytest.raises(Unreachable, match=f"Layer 1 of the image cannot be read: /{re.escape(name)} would remove"):
        image([folder("d")], [file(name)])


def test_what_aufs_kept_for_itself_is_passed_over() -> None:
    names = (".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk", "d/.wh..wh.x")
    assert set(image([folder("d")], [kind(name) for name in names for kind in (file, folder)]).directories) == {
        "",
        "d",
    }


@pytest.mark.parametrize(
    "change",
    [
        [file(".wh.a"), folder("a"), folder("a/n")],
        [folder("a"), file("a/.wh..wh..opq"), folder("a/n")],
        [folder("a"), folder("a/n"), file("a/.wh..wh..opq")],
    ],
)
def test_a_directory_made_anew_begins_in_its_new_layer(change: list[Row]) -> None:
    filesystem = image([folder("a"), folder("a/b"), folder("a/n")], change)
    assert set(filesystem.directories) == {"", "a", "a/n"}
    assert filesystem.directories["a"].layer == filesystem.directories["a/n"].layer == 1


def test_a_link_replaced_by_a_directory_is_no_link() -> None:
    filesystem = image([link("bin", "usr/bin")], [folder("bin")])
    assert filesystem.symlinks == {}
    assert filesystem.is_directory("/bin")


def test_entries_below_a_link_of_their_layer_are_where_it_leads() -> None:
    filesystem = image([folder("usr/bin"), link("bin", "usr/bin"), folder("bin/new"), file(".wh.x")])
    assert "usr/bin/new" in filesystem.directories
    assert filesystem.symlinks == {"bin": "usr/bin"}


def test_entries_below_a_link_of_a_lower_layer_stand_in_its_place() -> None:
    filesystem = image([folder("usr/bin"), link("bin", "usr/bin")], [file("bin/new")])
    assert set(filesystem.directories) == {"", "usr", "usr/bin", "bin"}
    assert filesystem.symlinks == {}


def test_accounts_follow_the_layers() -> None:
    base = [folder("etc"), file("etc/passwd", PASSWD), file("etc/group", GROUP)]
    assert image(base).passwd == PASSWD
    assert image(base, [file("etc/passwd", b"new")]).passwd == b"new"
    assert image(base, [file("etc/.wh.passwd")]).passwd == b""
    assert image(base, [file(".wh.etc")]).group == b""
    assert image([file("etc/passwd-", PASSWD), ("etc/passwd", "h", 0o644, 0, 0, "etc/passwd-")]).passwd == PASSWD


def test_hostile_names_stay_inside() -> None:
    filesystem = image([folder("/abs"), folder("../../up"), folder("a/../../b"), link("out", "../../../etc")])
    assert set(filesystem.directories) == {"", "abs", "up", "b"}
    assert filesystem.resolve("/out/x") == "etc/x"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/bin/sh", "usr/bin/sh"), ("bin", "usr/bin"), ("/", ""), ("", ""), ("/abs/x", "data/x"), ("/rel/x", "etc/x"),
        ("/chain/x", "usr/bin/x"), ("/dead/x", "no/where/x"), ("/no/../bin", "usr/bin"), ("/bin/..", "usr"),
    ],
)  # fmt: skip
def test_links_are_followed_inside_the_root(path: str, place: str) -> None:
    filesystem = image(
        [folder("usr/bin"), link("bin", "usr/bin"), link("abs", "/data"), link("rel", "../../etc"),
         link("chain", "usr/../bin"), link("dead", "/no/where")]
    )  # fmt: skip
    assert filesystem.resolve(path) == place


def test_the_last_link_can_be_kept() -> None:
    filesystem = image([link("a", "b"), link("b", "c")])
    assert filesystem.resolve("/a", last=False) == "a"
    assert filesystem.resolve("/a/x", last=False) == "c/x"


def test_links_in_a_circle_are_said() -> None:
    with pytest.raises(BuildFailed, match="too many symbolic links"):
        image([link("a", "b"), link("b", "a")]).resolve("/a/x")


@pytest.mark.parametrize(
    ("spec", "ids"),
    [("app", (1000, 1001)), ("app:staff", (1000, 50)), ("1000", (1000, 1001)), ("77", (77, 0)), ("7:8", (7, 8)),
     ("root", (0, 0)), ("7:staff", (7, 50)), (":staff", (0, 50)), ("", (0, 0))],
)  # fmt: skip
def test_a_process_gets_these_ids(spec: str, ids: tuple[int, int]) -> None:
    assert replace(Filesystem.empty(), passwd=PASSWD, group=GROUP).user(spec) == ids


@pytest.mark.parametrize("spec", ["nobody", "app:nogroup"])
def test_an_unknown_name_is_said(spec: str) -> None:
    with pytest.raises(LookupError, match="The image has no"):
        replace(Filesystem.empty(), passwd=PASSWD, group=GROUP).user(spec)


@pytest.mark.parametrize(
    ("spec", "ids"),
    [("app", (1000, 1001)), ("app:", (1000, 1001)), ("app:staff", (1000, 50)), ("app:nogroup", (1000, 1001)),
     ("5", (5, 5)), ("5:", (5, 5)), (":staff", (0, 50)), (":", (0, 0))],
)  # fmt: skip
def test_files_get_these_ids(spec: str, ids: tuple[int, int]) -> None:
    assert replace(Filesystem.empty(), passwd=PASSWD, group=GROUP).owner(spec) == ids


def test_a_name_cannot_own_files_of_an_empty_image() -> None:
    assert Filesystem.empty().owner("7:8") == (7, 8)
    with pytest.raises(LookupError, match="use a number"):
        Filesystem.empty().owner("app")


def test_an_index_survives_encoding() -> None:
    filesystem = image([folder("a", 0o1777, 9), link("l\udcff", "\udcfe"), file("etc/passwd", PASSWD + b"\xff")])
    assert Filesystem.decode(filesystem.encode()) == filesystem
    assert image(
        [file("etc/passwd", PASSWD + b"\xff"), link("l\udcff", "\udcfe"), folder("a", 0o1777, 9)]
    ).encode() == (filesystem.encode())


def broken_indexes() -> Iterator[bytes]:
    good = json.loads(gzip.decompress(Filesystem.empty().encode()))
    yield b""
    yield b"junk"
    yield Filesystem.empty().encode()[:-9]
    yield gzip.compress(b"[]")
    changes: tuple[dict[str, object], ...] = (
        {"version": 2}, {"directories": []}, {"directories": [["", 1, 2, 3]]}, {"passwd": 1}, {"symlinks": [["l"]]},
        {"directories": [["", 1, 2, 3, "4"]]}, {"directories": [["", 1, 2, 3, 4], ["a/b", 1, 2, 3, 4]]},
        {"symlinks": [["../l", "x"]]}, {"directories": [["", 1, 2, 3, -1]]}, {"symlinks": 5},
        {"directories": [["", 1, 4294967296, 3, 4]]}, {"directories": [["", 1, 2, 4294967296, 4]]},
    )  # fmt: skip
    for change in changes:
        yield gzip.compress(json.dumps({**good, **change}).encode())


@pytest.mark.parametrize("data", list(broken_indexes()), ids=range(len(list(broken_indexes()))))
def test_a_broken_index_is_refused(data: bytes) -> None:
    with pytest.raises(Unreachable, match="filesystem index"):
        Filesystem.decode(data)


def test_an_index_that_is_too_large_is_refused_before_it_is_published() -> None:
    rows = [folder(f"d{number}") for number in range(50)]
    size = len(gzip.decompress(image(rows).encode()))
    assert Filesystem.decode(image(rows).encode(size), size) == image(rows)
    larger = [*rows, link("l", "d1")]
    with pytest.raises(BuildFailed, match=r"too many directories and symbolic links \(52\)"):
        image(larger).encode(size)
    with pytest.raises(Unreachable, match="cut short or too large"):
        Filesystem.decode(image(larger).encode(), size)


@given(st.binary(max_size=3000), st.integers(0, 4000))
def test_a_broken_layer_is_refused_or_read_but_nothing_worse(noise: bytes, at: int) -> None:
    good = archive(folder("a"), file("a/" + "n" * 120, b"x" * 600), link("l", "a"))
    data = good[:at] + noise + good[at + len(noise) :]
    try:
        filesystem = Filesystem.empty().apply(0, io.BytesIO(data))
    except Unreachable:
        return
    assert Filesystem.decode(filesystem.encode()) == filesystem


def test_a_layer_is_inflated_in_pieces_whatever_their_size() -> None:
    tar = archive(*[file(f"f{number}", bytes([number]) * 5000) for number in range(50)])
    packed = gzip.compress(tar[:1000]) + gzip.compress(tar[1000:])
    for size in (1, 7, 1000, len(packed)):
        chunks = (packed[at : at + size] for at in range(0, len(packed), size))
        assert open_archive(chunks).read() == tar


def test_a_layer_is_read_to_its_end_so_that_its_digest_is_verified() -> None:
    ended = []

    def chunks() -> Iterator[bytes]:
        yield gzip.compress(archive(folder("a")) + bytes(100_000))
        yield bytes(512)
        ended.append(True)

    Filesystem.empty().apply(0, open_archive(chunks()))
    assert ended


@pytest.mark.parametrize("cut", [1, 20, -1, -9])
def test_a_layer_that_is_cut_short_is_refused(cut: int) -> None:
    packed = gzip.compress(archive(folder("a"), file("f", b"x" * 10_000)))[:cut]
    with pytest.raises(Unreachable, match=r"too early|in the middle of a header"):
        Filesystem.empty().apply(0, open_archive(iter([packed])))


def test_a_zstd_layer_is_read() -> None:
    if sys.version_info >= (3, 14):
        from compression.zstd import compress
    else:
        from backports.zstd import compress
    packed = compress(archive(folder("a/b"), link("l", "a")))
    tar = open_archive(iter([packed[:9], packed[9:]]))
    filesystem = Filesystem.empty().apply(0, tar)
    assert filesystem.is_directory("/l/b")


def test_a_path_is_as_deep_as_linux_has_it() -> None:
    deep = "/".join(["d"] * 2047)
    assert image([folder(deep)]).is_directory(deep)
    assert image([link("l", deep[2:]), folder("l/x")]).is_directory(f"{deep[2:]}/x")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [folder("d/" * 2049)],
            r"/d/d/.*… is a path of 4097 bytes; the limit is 4095",
        ),
        ([file("a/" + "é" * 128)], r"/a/éé.*… has a name of 256 bytes in it; the limit is 255"),
        ([file("f"), ("h", "h", 0o644, 0, 0, "n" * 256)], "has a name of 256 bytes"),
        ([link("l", "x" * 4096)], r"/l is a link to 4096 bytes; the limit is 4095"),
        ([link("l", "/".join(["d"] * 2047)), link("d", "l"), folder("l/l/x")], "too many symbolic links|too deep"),
    ],
)
def test_a_path_that_linux_does_not_have_is_refused_by_name(rows: list[Row], message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        image(rows)


def test_gnu_long_names_are_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        entry = tarfile.TarInfo("d" * 150)
        entry.type, entry.uid = tarfile.DIRTYPE, 3_000_000
        tar.addfile(entry)
    filesystem = Filesystem.empty().apply(0, io.BytesIO(buffer.getvalue()))
    assert filesystem.directories["d" * 150].uid == 3_000_000
