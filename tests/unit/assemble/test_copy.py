from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.assemble.copy import CopyItem, Inline, copy, make_directories
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_builder import AssembledLayer
from lineal.assemble.stage_tree import StageTree
from lineal.context.chmod import Chmod
from lineal.context.path_filter import PathFilter
from lineal.context.tree import Node
from lineal.engine import Directory
from lineal.errors import BuildFailed
from lineal.tar.writer import MTIME
from tests.unit.assemble.oracle import FolderTree, archive, put_layer, sources_of


def run(items: list[CopyItem | Inline], to: str, workspace: Path, **options: Any) -> AssembledLayer:
    given = {"workdir": "/", "chown": None, "chmod": None, "parent": Filesystem.empty(), "layer_number": 0, **options}
    return copy(items=items, destination=to, workspace=workspace, **given)


def files(copied: AssembledLayer) -> dict[str, Any]:
    image: dict[str, Any] = {}
    put_layer(image, copied.layer.path.read_bytes())
    return image


@pytest.fixture
def tree(tmp_path: Path) -> FolderTree:
    root = tmp_path / "source"
    (root / "d/sub").mkdir(parents=True)
    (root / "d/sub/f").write_text("f")
    (root / "a").write_text("a")
    return FolderTree(root)


def test_a_heredoc_is_a_file(tmp_path: Path) -> None:
    image = files(run([Inline("EOF", b"one\n")], "/etc/motd", tmp_path, chmod=Chmod("600"), chown="3:4"))
    assert image["etc"][:4] == ("5", 0o600, 3, 4), "an octal mode is for the directories above too"
    assert image["etc/motd"] == ("0", 0o600, 3, 4, "", b"one\n")


def test_a_heredoc_goes_into_a_directory_under_its_name(tmp_path: Path) -> None:
    assert files(run([Inline("x.conf", b"1"), Inline("y.conf", b"2")], "/etc/", tmp_path)).keys() == {
        "etc", "etc/x.conf", "etc/y.conf",
    }  # fmt: skip


def test_the_same_files_make_the_same_bytes(tree: FolderTree, tmp_path: Path) -> None:
    first, second = (run([CopyItem(tree, ".")], "/x", tmp_path).layer for _ in range(2))
    assert first.path != second.path
    assert (first.digest, first.diff_id, first.size) == (second.digest, second.diff_id, second.size)
    assert first.diff_id == "sha256:20e53db88080a4e21a0a4c6bb29c9a17bf057326b41fdfa4c54ee53c837ca40d"


def test_parents_come_before_children_and_names_are_sorted(tree: FolderTree, tmp_path: Path) -> None:
    copied = run([CopyItem(tree, "."), CopyItem(tree, "a")], "/z-z/z/", tmp_path)
    with tarfile.open(copied.layer.path) as tar:
        names = tar.getnames()
        assert {entry.mtime for entry in tar} == {MTIME}
    assert names == sorted(names) == ["z-z", "z-z/z", "z-z/z/a", "z-z/z/d", "z-z/z/d/sub", "z-z/z/d/sub/f"]


def test_directories_that_do_not_change_are_in_the_layer_as_the_parent_has_them(
    tree: FolderTree, tmp_path: Path
) -> None:
    rows = (("p", "d", 0o1711, 7, 8, ""), ("p/d", "d", 0o700, 5, 6, ""), ("p/d/sub", "d", 0o755, 0, 0, ""))
    parent = Filesystem.empty().apply(0, io.BytesIO(archive(*rows)))
    copied = run([CopyItem(tree, "d")], "/p/d", tmp_path, parent=parent, layer_number=1)
    assert {path: file[:4] for path, file in files(copied).items()} == {
        "p": ("5", 0o1711, 7, 8), "p/d": ("5", 0o700, 5, 6), "p/d/sub": ("5", 0o755, 0, 0),
        "p/d/sub/f": ("0", 0o644, 0, 0),
    }  # fmt: skip
    assert copied.filesystem == parent


def test_a_wildcard_without_match_makes_an_empty_layer(tree: FolderTree, tmp_path: Path) -> None:
    parent = Filesystem.empty().apply(0, io.BytesIO(archive(("p", "d", 0o700, 7, 8, ""))))
    assert files(run([CopyItem(tree, "none*")], "/p/", tmp_path, parent=parent, layer_number=1)) == {}


@pytest.mark.parametrize("name", ["..", ".", "", "a/../../b"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    """Only a tree that git itself would not commit has them."""
    with pytest.raises(BuildFailed, match="are no names of files"):
        run([CopyItem(Named(name), "d")], "/x", tmp_path)
    assert not list(tmp_path.iterdir())


def test_new_accounts_count_for_the_next_stage(tmp_path: Path) -> None:
    first = run([Inline("passwd", b"app:x:5:6::/:/bin/sh\n")], "/etc/passwd", tmp_path)
    second = run([Inline("f", b"")], "/f", tmp_path, parent=first.filesystem, layer_number=1, chown="app")
    assert files(second)["f"][2:4] == (5, 6)


def test_a_name_that_would_remove_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="mean a removed file"):
        run([Inline(".wh.etc", b"")], "/", tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [("absent", "/absent is not there"), ("../absent", "/absent is not there"), ("a/b", "/a/b is not there")],
)
def test_an_absent_source_is_named(tree: FolderTree, source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=message):
        run([CopyItem(tree, source)], "/x", tmp_path)


def test_a_directory_over_a_file_of_the_same_copy_is_refused(tree: FolderTree, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"cannot be copied over|is not a directory"):
        run([CopyItem(tree, "a"), CopyItem(tree, "d")], "/x", tmp_path)
    with pytest.raises(BuildFailed, match="cannot be replaced by a file"):
        run([CopyItem(tree, "d"), Inline("sub", b"")], "/x/", tmp_path)


def test_a_name_for_an_empty_image_is_refused(tree: FolderTree, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="--chown=app: 'app' cannot be looked up"):
        run([CopyItem(tree, "a")], "/x", tmp_path, chown="app")


def test_directories_that_exist_need_no_layer(tmp_path: Path) -> None:
    parent = Filesystem.empty().apply(0, io.BytesIO(archive(("w", "d", 0o700, 5, 5, ""), ("l", "l", 0, 0, 0, "/w"))))
    assert make_directories(parent, 1, [Directory("/w"), Directory("/l"), Directory("/")], tmp_path) is None
    made = make_directories(parent, 1, [Directory("/l/n", 0o711, 3, 4)], tmp_path)
    assert made is not None
    assert files(made) == {"w": ("5", 0o700, 5, 5, "", b""), "w/n": ("5", 0o711, 3, 4, "", b"")}


def test_a_linked_copy_covers_whatever_is_there(tree: FolderTree, tmp_path: Path) -> None:
    """Its layer knows nothing of the image: links and modes of the parent give way to plain directories."""
    rows = (("real", "d", 0o700, 5, 6, ""), ("to", "l", 0o777, 0, 0, "real"), ("sticky", "d", 0o1777, 1, 1, ""))
    parent = Filesystem.empty().apply(0, io.BytesIO(archive(*rows)))
    copied = run([CopyItem(tree, "a")], "/to/sticky/", tmp_path, parent=parent, layer_number=1, link=True)
    assert {path: file[:4] for path, file in files(copied).items()} == {
        "to": ("5", 0o755, 0, 0), "to/sticky": ("5", 0o755, 0, 0), "to/sticky/a": ("0", 0o644, 0, 0),
    }  # fmt: skip
    assert copied.filesystem.symlinks == {}
    assert copied.filesystem.directories["to"].mode == 0o755
    assert copied.filesystem.directories["sticky"].mode == 0o1777


def test_a_linked_copy_stands_on_the_working_directory(tree: FolderTree, tmp_path: Path) -> None:
    rows = (("home", "d", 0o755, 0, 0, ""), ("h", "l", 0o777, 0, 0, "home"))
    parent = Filesystem.empty().apply(0, io.BytesIO(archive(*rows)))
    wanted = {"parent": parent, "layer_number": 1, "link": True, "directories": [Directory("/h/w", 0o755, 7, 8)]}
    into = files(run([CopyItem(tree, "a")], ".", tmp_path, workdir="/h/w", **wanted))
    assert into.keys() == {"h", "h/w", "h/w/a", "home", "home/w"}
    assert into["home/w"][:4] == ("5", 0o755, 7, 8)
    over = files(run([CopyItem(tree, "a")], "/home", tmp_path, **wanted))
    assert {path: file[0] for path, file in over.items()} == {"home": "0"}, "a file hides what was below its name"


def test_hard_links_of_one_source_stay_links(tmp_path: Path) -> None:
    layer = archive(
        ("b/one", "f", 0o755, 0, 0, b"x"), ("b/two", "h", 0o700, 3, 4, "b/one"), ("b/no", "f", 0o755, 0, 0, b"x")
    )
    merged = StageTree.read(Filesystem.empty().apply(0, io.BytesIO(layer)), [sources_of(layer)], ["/b"], tmp_path)
    with tarfile.open(run([CopyItem(merged, "/b")], "/n", tmp_path).layer.path) as tar:
        found = {
            entry.name: (entry.type, entry.linkname, entry.mode, entry.uid) for entry in tar if not entry.isdir()
        }
    assert found == {
        "n/no": (tarfile.REGTYPE, "", 0o755, 0), "n/one": (tarfile.REGTYPE, "", 0o700, 3),
        "n/two": (tarfile.LNKTYPE, "n/one", 0o700, 3),
    }  # fmt: skip
    both = run([CopyItem(merged, "/b/one"), CopyItem(merged, "/b/two")], "/n/", tmp_path)
    with tarfile.open(both.layer.path) as tar:
        assert not any(entry.islnk() for entry in tar), "two sources are two files, as in BuildKit"


def test_devices_are_copied_from_other_stages(tmp_path: Path) -> None:
    layer = archive(("dev/null", "c", 0o666, 0, 0, ""), ("dev/pipe", "p", 0o600, 1, 1, ""))
    merged = StageTree.read(Filesystem.empty().apply(0, io.BytesIO(layer)), [sources_of(layer)], ["/dev"], tmp_path)
    with tarfile.open(run([CopyItem(merged, "/dev")], "/n", tmp_path).layer.path) as tar:
        assert [(entry.name, entry.type, entry.mode) for entry in tar] == [
            ("n", tarfile.DIRTYPE, 0o755), ("n/null", tarfile.CHRTYPE, 0o666), ("n/pipe", tarfile.FIFOTYPE, 0o600),
        ]  # fmt: skip


def test_later_sources_win_and_heredocs_are_last(tree: FolderTree, tmp_path: Path) -> None:
    assert files(run([CopyItem(tree, "a"), Inline("a", b"later")], "/n/", tmp_path))["n/a"][5] == b"later"


def test_a_directory_that_only_leads_to_a_file_changes_the_mode_of_one_that_is_there(
    tree: FolderTree, tmp_path: Path
) -> None:
    parent = Filesystem.empty().apply(
        0, io.BytesIO(archive(("n", "d", 0o755, 0, 0, ""), ("n/d", "d", 0o700, 7, 8, "")))
    )
    item = CopyItem(tree, "/", sieve=PathFilter("d/sub/f"))
    image = files(run([item], "/n", tmp_path, parent=parent, layer_number=1, chown="3:4"))
    assert image["n/d"][:4] == ("5", 0o755, 7, 8)
    assert image["n/d/sub"][:4] == ("5", 0o755, 3, 4)
    with pytest.raises(BuildFailed, match="/d/none is not there"):
        run([CopyItem(tree, "/", sieve=PathFilter("d/none"))], "/n", tmp_path)


@pytest.mark.parametrize("sieve", [PathFilter(None, ("none",)), PathFilter("A"), PathFilter("*", ("none",))])
def test_a_part_of_the_root_has_no_link_to_nowhere_at_its_top(
    tree: FolderTree, sieve: PathFilter, tmp_path: Path
) -> None:
    for link in ("A", "d/A"):
        (tmp_path / "source" / link).symlink_to("nowhere")
    with pytest.raises(BuildFailed, match="/A is a symbolic link to what does not exist"):
        run([CopyItem(tree, "d/..", sieve=sieve)], "/n", tmp_path)
    below = files(run([CopyItem(tree, "d", sieve=sieve)], "/n", tmp_path))
    assert below["n/A"][4] == "nowhere"
    everything = files(run([CopyItem(tree, "/")], "/n", tmp_path))
    assert everything["n/A"][4] == everything["n/d/A"][4] == "nowhere"


class Named:
    """A tree with one file of this name in its directory `d`."""

    def __init__(self, name: str) -> None:
        self._node = Node(f"d/{name}", "file", 0o644)

    def lstat(self, path: str) -> Node | None:
        return Node(path, "directory", 0o755) if path in ("", "d") else None

    def children(self, path: str) -> list[str]:
        return []

    def walk(self, path: str) -> Iterator[Node]:
        yield self._node

    def open(self, node: Node) -> Iterator[bytes]:
        yield b""


class Large:
    """A tree with one file of `size` bytes that is never in memory."""

    def __init__(self, size: int) -> None:
        self._node = Node("big", "file", 0o644, size)

    def lstat(self, path: str) -> Node | None:
        return self._node if path == "big" else Node("", "directory", 0o755) if not path else None

    def children(self, path: str) -> list[str]:
        return ["big"]

    def walk(self, path: str) -> Iterator[Node]:
        yield self._node

    def open(self, node: Node) -> Iterator[bytes]:
        for _ in range(node.size >> 16):
            yield bytes(1 << 16)


@pytest.mark.parametrize("unpack", [False, True])
def test_a_large_file_does_not_go_through_memory(tmp_path: Path, unpack: bool) -> None:
    tracemalloc.start()
    try:
        layer = run([CopyItem(Large(1 << 28), "big", unpack)], "/x/", tmp_path).layer
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    with gzip.open(layer.path) as tar:
        assert tar.read(1)
