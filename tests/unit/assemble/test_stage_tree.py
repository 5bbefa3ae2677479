from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_stack import LayerSource
from lineal.assemble.stage_tree import StageTree, as_tar
from lineal.context import glob
from lineal.errors import BuildFailed, Unreachable
from tests.unit.assemble.oracle import FolderTree, archive, sources_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Row = tuple[str, str, int, int, int, str | bytes]


def folder(name: str, mode: int = 0o755) -> Row:
    return (name, "d", mode, 1, 2, "")


def file(name: str, data: bytes = b"") -> Row:
    return (name, "f", 0o640, 3, 4, data)


def hard(name: str, target: str) -> Row:
    return (name, "h", 0o640, 3, 4, target)


def link(name: str, target: str) -> Row:
    return (name, "l", 0o777, 5, 6, target)


def special(name: str, letter: str = "p") -> Row:
    return (name, letter, 0o600, 7, 8, "")


def skipping(data: bytes) -> bytes:
    """As layers that can be pulled in parts begin, with a frame that says nothing."""
    return b"\x5e\x2a\x4d\x18\x04\x00\x00\x00toc." + zstd.compress(data)


class Image:
    def __init__(self, *layers: list[Row]) -> None:
        self.filesystem = Filesystem.empty()
        self.sources: list[LayerSource] = []
        self.opened: list[int] = []
        for number, rows in enumerate(layers):
            data = archive(*rows)
            self.filesystem = self.filesystem.apply(number, io.BytesIO(data))
            self.sources.append(self._noted(number, sources_of(data)))

    def _noted(self, number: int, source: LayerSource) -> LayerSource:
        def opened() -> Iterator[bytes]:
            self.opened.append(number)
            return source()

        return opened

    def read(self, *wanted: str) -> StageTree:
        with_space = Path(os.environ.get("TMPDIR", "/tmp"))
        return StageTree.read(self.filesystem, self.sources, wanted, with_space)


def contents(tree: StageTree) -> dict[str, bytes]:
    return {node.path: b"".join(tree.open(node)) for node in tree.walk("") if node.kind == "file"}


def test_upper_layers_win_and_removals_count() -> None:
    image = Image(
        [folder("a"), file("a/old", b"1"), file("a/both", b"1"), file("a/gone", b"1"), folder("a/d"), file("a/d/x")],
        [file("a/both", b"2"), file("a/.wh.gone"), file("a/.wh.d")],
        [file("a/new", b"3")],
    )
    assert contents(image.read("/a")) == {"a/old": b"1", "a/both": b"2", "a/new": b"3"}


def test_an_emptied_directory_hides_what_is_below() -> None:
    image = Image(
        [folder("a"), file("a/old"), folder("b")], [folder("a"), file("a/new", b"n"), file("a/.wh..wh..opq")]
    )
    assert contents(image.read("/a")) == {"a/new": b"n"}
    assert image.opened == [1], "the layer below cannot have anything"


def test_what_comes_back_after_a_removal_is_there() -> None:
    image = Image([folder("a"), file("a/f", b"1")], [file("a/.wh.f")], [file("a/f", b"3")], [file("x")])
    assert contents(image.read("/a/f")) == {"a/f": b"3"}
    assert image.opened == [3, 2]


def test_a_file_that_replaced_a_directory_hides_it() -> None:
    image = Image([folder("a/d"), file("a/d/f")], [file("a/d", b"now a file")])
    assert contents(image.read("/a")) == {"a/d": b"now a file"}


def test_a_file_is_looked_for_no_further_down_than_needed() -> None:
    image = Image([folder("a"), file("a/f")], [folder("b"), file("b/f", b"b")], [file("x")], [file("y")])
    assert contents(image.read("b/f")) == {"b/f": b"b"}
    assert image.opened == [3, 2, 1]
    image.opened.clear()
    assert contents(image.read("b/absent")) == {}
    assert image.opened == [3, 2, 1]


def test_nothing_is_read_for_what_cannot_be_there() -> None:
    image = Image([folder("a"), file("a/f")])
    assert contents(image.read("/no/such", "/no/such/*")) == {}
    assert image.opened == []


def test_only_what_is_wanted_is_kept() -> None:
    image = Image([folder("a"), file("a/f", b"f"), file("a/g"), file("b"), folder("ab"), file("ab/f")])
    assert contents(image.read("/a/f")) == {"a/f": b"f"}
    assert contents(image.read("/a")).keys() == {"a/f", "a/g"}
    assert contents(image.read("/a*/f")).keys() == {"a/f", "ab/f"}
    assert contents(image.read("/*")).keys() == {"a/f", "a/g", "b", "ab/f"}


def test_links_lead_to_what_is_read() -> None:
    image = Image(
        [folder("usr/bin"), link("bin", "usr/bin"), file("usr/bin/sh", b"sh"), link("usr/bin/ash", "sh")],
        [link("tool", "/bin/ash"), link("dir", "bin")],
    )
    for path in ("/bin/sh", "/bin/ash", "/tool", "/dir/sh"):
        tree = image.read(path)
        (found,) = glob.expand(tree, path)
        node = glob.follow(tree, found)
        assert node is not None and b"".join(tree.open(node)) == b"sh"
    assert contents(image.read("/too*")) == {"usr/bin/sh": b"sh"}


def test_owners_modes_and_times_are_the_layers_own() -> None:
    tree = Image([folder("a", 0o1777), file("a/f", b"12"), link("a/l", "f")]).read("/a")
    folder_node, file_node, link_node = (tree.lstat(path) for path in ("a", "a/f", "a/l"))
    assert folder_node and file_node and link_node
    assert (folder_node.mode, folder_node.uid, folder_node.gid, folder_node.mtime) == (0o1777, 1, 2, 1000)
    assert (file_node.mode, file_node.uid, file_node.gid, file_node.size) == (0o640, 3, 4, 2)
    assert (link_node.target, link_node.uid, link_node.gid) == ("f", 5, 6)


def test_a_hard_link_has_the_content_of_its_target() -> None:
    image = Image(
        [folder("a"), folder("b"), file("b/lower", b"lower")],
        [file("b/same", b"same"), hard("a/inside", "b/same"), hard("a/again", "a/inside"), hard("a/down", "b/lower")],
        [file("b/.wh.same"), file("b/lower", b"changed")],
    )
    assert contents(image.read("/a")) == {"a/inside": b"same", "a/again": b"same", "a/down": b"lower"}
    assert contents(image.read("/a/again")) == {"a/again": b"same"}


@pytest.mark.parametrize("rows", [[hard("a", "b"), hard("b", "a")], [hard("a", "absent")], [hard("a", "a")]])
def test_a_hard_link_to_nothing_is_refused(rows: list[Row]) -> None:
    with pytest.raises(Unreachable, match="hard link"):
        Image(rows).read("/a")


@pytest.mark.parametrize("between", [file("e/d"), link("e/d", "x"), special("e/d"), file("e/.wh.d"), file("e")])
def test_what_stood_in_a_folder_s_place_hides_it_for_good(between: Row) -> None:
    image = Image([folder("e"), folder("e/d"), file("e/d/f", b"secret")], [between], [folder("e"), folder("e/d")])
    for wanted in ("/e", "/e/d", "/e/d/f", "/e/*", "/"):
        assert contents(image.read(wanted)) == {}


def test_a_folder_that_a_link_has_replaced_is_not_the_link_s_target() -> None:
    image = Image(
        [folder("new"), file("new/f", b"2"), file("new/kept", b"2")],
        [folder("old"), file("old/f", b"1"), file("old/kept"), file("old/more")],
        [folder("old"), file("old/.wh.kept")],
        [link("old", "new")],
    )
    for wanted in ("/old", "/new", "/", "/*"):
        assert contents(image.read(wanted)) == {"new/f": b"2", "new/kept": b"2"}
    assert contents(image.read("/old/more")) == {}


def test_a_link_to_itself_is_read_as_it_is() -> None:
    image = Image([folder("e/d"), file("e/d/f")], [link("e/d", "d")])
    for wanted in ("/e", "/e/*", "/"):
        node = image.read(wanted).lstat("e/d")
        assert node is not None and node.target == "d"
    with pytest.raises(BuildFailed, match=r"^/e/d/f has too many symbolic links in it"):
        image.read("/e/d/f")


@pytest.mark.parametrize("row", [link("a/l", "f"), special("a/l"), special("a/l", "c"), file("a/l", b"x")])
def test_two_names_of_anything_are_one(row: Row) -> None:
    image = Image([folder("a"), folder("b"), row, hard("b/m", "a/l"), hard("b/n", "b/m")], [file("a/.wh.l")])
    for wanted in ("/", "/b"):
        tree = image.read(wanted)
        m, n = tree.lstat("b/m"), tree.lstat("b/n")
        assert m and n and m.inode == n.inode != ""
        assert m.kind == n.kind == {"l": "symlink", "f": "file"}.get(row[1], "special")
        assert (m.target, m.device, m.size) == (n.target, n.device, n.size)
        assert (m.uid, m.gid) == (3, 4), "what the last name says is everyone's"
    assert {node.path for node in image.read("/b").walk("a")} == set()


def test_a_hard_link_has_the_file_that_its_target_was_when_it_was_made() -> None:
    rows = [folder("a"), folder("b"), file("a/f", b"1"), hard("b/f", "a/f"), file("a/f", b"2"), hard("b/g", "a/f")]
    tree = Image(rows).read("/b")
    assert contents(tree) == {"b/f": b"1", "b/g": b"2"}
    assert contents(Image(rows).read("/")) == {"a/f": b"2", "b/f": b"1", "b/g": b"2"}


@pytest.mark.parametrize("lower", [[], [folder("d"), file("d/x")]])
def test_a_hard_link_to_a_directory_is_refused(lower: list[Row]) -> None:
    with pytest.raises(Unreachable, match=r"hard link to (a directory|nothing)"):
        Image(lower, [*([] if lower else [folder("d")]), hard("h", "d")]).read("/h")


def test_overlay_s_own_mark_removes_too() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("a/gone")
        info.type = tarfile.CHRTYPE
        tar.addfile(info)
    image = Image([folder("a"), folder("a/gone"), file("a/gone/f")])
    image.filesystem = image.filesystem.apply(1, io.BytesIO(buffer.getvalue()))
    image.sources.append(sources_of(buffer.getvalue()))
    assert [node.path for node in image.read("/").walk("")] == ["a"]


def test_a_tree_may_be_as_deep_as_a_path_is_long() -> None:
    deep = "/".join(["d"] * 2046)
    tree = Image([file(f"{deep}/f", b"f")]).read("/d/d")
    assert contents(tree) == {f"{deep}/f": b"f"}
    assert len(list(tree.walk(""))) == 2047


def test_names_of_one_file_stay_one_in_a_stream() -> None:
    tree = Image([folder("a"), file("a/f", b"x"), hard("a/g", "a/f"), link("a/l", "f"), hard("a/m", "a/l")]).read(
        "/a"
    )
    with tarfile.open(fileobj=io.BytesIO(b"".join(as_tar(tree, "a")))) as tar:
        assert [(entry.name, entry.type, entry.linkname) for entry in tar] == [
            ("f", b"0", ""), ("g", b"1", "f"), ("l", b"2", "f"), ("m", b"1", "l"),
        ]  # fmt: skip


def test_a_directory_as_a_stream() -> None:
    image = Image([folder("a"), folder("a/d", 0o700), file("a/d/f", os.urandom(70_000)), link("a/l", "d/f")])
    tree = image.read("/a")
    with tarfile.open(fileobj=io.BytesIO(b"".join(as_tar(tree, "a")))) as tar:
        assert tar.getnames() == ["d", "d/f", "l"]
        assert [(entry.mode, entry.uid, entry.mtime) for entry in tar] == [
            (0o700, 1, 1000), (0o640, 3, 1000), (0o777, 5, 1000),
        ]  # fmt: skip
        content = tar.extractfile("d/f")
        assert content is not None and content.read() == contents(tree)["a/d/f"]


def test_a_file_as_a_stream_is_one_entry(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("f")
    with tarfile.open(fileobj=io.BytesIO(b"".join(as_tar(FolderTree(tmp_path), "d/f")))) as tar:
        assert tar.getnames() == ["f"]
    with pytest.raises(BuildFailed, match="/absent does not exist"):
        list(as_tar(FolderTree(tmp_path), "absent"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress, bytes, skipping])
def test_a_layer_is_read_by_its_bytes(pack: Callable[[bytes], bytes]) -> None:
    image = Image([file("f", b"f")])
    packed = pack(b"".join(image.sources[0]()))
    image.sources = [lambda: iter([packed[:3], packed[3:]])]
    assert contents(image.read("f")) == {"f": b"f"}
