"""Generated histories of an image: what Lineal reads out of its layers is what the kernel's overlay shows."""

from __future__ import annotations

import io
import itertools
import os
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from posixpath import basename, dirname

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineal.assemble.filesystem import Filesystem
from lineal.assemble.stage_tree import StageTree
from lineal.context.tree import Node
from tests.histories import PATHS, TARGETS, History, histories
from tests.unit.assemble import overlay
from tests.unit.assemble.oracle import archive, sources_of

MISSING = overlay.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

Row = tuple[str, str, str]
"""A name in a tar, its type's letter, and a link's target."""
_ROWS = st.one_of(
    st.tuples(PATHS, st.sampled_from("ffddp"), st.just("")),
    st.tuples(PATHS, st.just("l"), TARGETS),
    st.tuples(PATHS, st.just("h"), PATHS),
    st.tuples(PATHS.map(lambda path: f"{dirname(path)}/.wh.{basename(path)}".lstrip("/")), st.just("f"), st.just("")),
    st.tuples(PATHS.map(lambda path: f"{path}/.wh..wh..opq"), st.just("f"), st.just("")),
)
_LAYERS = st.lists(st.lists(_ROWS, min_size=1, max_size=8), min_size=2, max_size=4)
_few = settings(max_examples=100, deadline=None)


@_few
@given(histories(5), PATHS)
@example([[("ln -s", "b", "b"), ("ln -s", "a/a", "a")], [("mkdir", "a", "700"), ("ln -s", "a/a", "a")]], "a")
@example([[("mkdir", "a", "700"), ("write", "a/b", "")], [("rm, ln -s", "a", "b")], [("rm, mkdir", "a", "700")]], "a")
def test_what_commands_leave_is_read_as_overlay_shows_it(history: History, path: str) -> None:
    numbers = itertools.count()
    with overlay.stack() as stack:
        for steps in history:
            with stack.change() as root:
                for step in steps:
                    with suppress(OSError):
                        _do(root, numbers, *step)
        compare(stack, [overlay.packed(layer) for layer in stack.layers], path)


@_few
@given(_LAYERS, PATHS)
@example([[("a", "f", ""), ("b", "h", "a")], [("a/a", "f", "")]], "a")
@example([[("a", "d", ""), ("a/b", "f", "")], [("c", "d", ""), ("a/b", "l", "/c")], [("a/b/c", "f", "")]], "a")
def test_layers_of_other_tools_are_read_as_overlay_shows_them(layers: list[list[Row]], path: str) -> None:
    numbers = itertools.count()
    with overlay.stack() as stack:
        tars = []
        for rows in layers:
            with stack.mounted() as below:
                tars.append(unpacked(stack.add(), below, rows, numbers))
        compare(stack, tars, path)


def compare(stack: overlay.Stack, tars: list[bytes], path: str) -> None:
    shown = stack.view()
    filesystem = Filesystem.empty()
    for number, tar in enumerate(tars):
        filesystem = filesystem.apply(number, io.BytesIO(tar))
    assert {name: entry.mode for name, entry in filesystem.directories.items() if name} == {
        name: mode for name, (kind, mode, _, _) in shown.entries.items() if kind == "directory"
    }
    assert filesystem.symlinks == {
        name: target for name, (kind, _, target, _) in shown.entries.items() if kind == "symlink"
    }
    sources = [sources_of(tar) for tar in tars]
    place = filesystem.resolve(path) if not _circular(filesystem, path) else path
    for wanted, below in (("/", ""), (path, place), (f"{path}/*", place), (f"/{path[0]}*", path[0])):
        if _circular(filesystem, wanted):
            continue
        tree = StageTree.read(filesystem, sources, [wanted], Path(tempfile.gettempdir()))
        entries = {
            name: entry for name, entry in shown.entries.items() if f"{name}/".startswith(f"{below}/".lstrip("/"))
        }
        if wanted.endswith("*"):
            entries.pop(below, None)
        nodes = {name: node for name in entries if (node := tree.lstat(name)) is not None}
        assert {name: _entry(tree, node) for name, node in nodes.items()} == entries
        same = defaultdict(list)
        for name, node in nodes.items():
            if node.inode:
                same[node.inode].append(name)
        within = {tuple(name for name in names if name in entries) for names in shown.same}
        assert {tuple(names) for names in same.values()} == {names for names in within if len(names) > 1}


def _circular(filesystem: Filesystem, path: str) -> bool:
    from lineal.errors import BuildFailed

    try:
        filesystem.resolve(path.rstrip("/*"))
    except BuildFailed:
        return True
    return False


def _entry(tree: StageTree, node: Node) -> tuple[str, int, str, bytes]:
    return node.kind, node.mode, node.target, b"".join(tree.open(node)) if node.kind == "file" else b""


def _do(root: Path, numbers: itertools.count[int], what: str, name: str, other: str) -> None:
    """One command, as far as it can be done; an OSError is what a shell would print."""
    path = overlay.inside(root, name)
    for part in what.split(", "):
        if part == "rm":
            with suppress(FileNotFoundError):
                overlay.remove(path)
        elif part == "mkdir":
            path.mkdir(int(other, 8))
            path.chmod(int(other, 8))
        elif part == "ln -s":
            path.symlink_to(other)
        elif part == "write":
            with open(
                path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
            ) as file:
                file.write(b"%d\n" % next(numbers))
        elif part == "mkfifo":
            os.mkfifo(path)
        elif part == "chmod" and not path.is_symlink():
            path.chmod(int(other, 8))
        elif part == "ln":
            os.link(path, overlay.inside(root, other), follow_symlinks=False)
        elif part in ("mv", "cp"):
            _copy(path, overlay.inside(root, other), rename=part == "mv")


def _copy(path: Path, to: Path, rename: bool) -> None:
    if rename:
        try:
            path.rename(to)
            return
        except OSError as error:
            if error.strerror != "Invalid cross-device link":
                raise
    if to.is_relative_to(path) or to.exists() or to.is_symlink():
        return
    if path.is_dir() and not path.is_symlink():
        to.mkdir()
        for child in sorted(path.iterdir()):
            _copy(child, to / child.name, rename=False)
        to.chmod(path.stat().st_mode & 0o7777)
    elif path.is_symlink():
        to.symlink_to(path.readlink())
    elif path.is_file():
        to.write_bytes(path.read_bytes())
    else:
        os.mkfifo(to)
    if rename:
        overlay.remove(path)


def unpacked(layer: Path, below: Path, rows: list[Row], numbers: itertools.count[int]) -> bytes:
    """A layer unpacked as an engine with overlay does it; the tar of those entries that it takes."""
    taken = []
    for name, letter, target in rows:
        value: str | bytes = b"%d\n" % next(numbers) if letter == "f" else target
        with suppress(OSError):
            _unpack(layer, below, name, letter, value)
            taken.append((name, letter, 0o750 if letter == "d" else 0o640, 0, 0, value))
    return archive(*taken)


def _unpack(layer: Path, below: Path, name: str, letter: str, value: str | bytes) -> None:
    path = overlay.inside(layer, name)
    if path == layer / ".wh..wh..opq":
        raise PermissionError("the kernel takes no mark of the root")
    if path.name.startswith(".wh.") and path.name != ".wh..wh..opq":
        path = path.with_name(path.name.removeprefix(".wh."))
        letter = "whiteout"
    if path != layer and os.path.lexists(path) and not (letter == "d" and path.is_dir() and not path.is_symlink()):
        raise FileExistsError("twice: not even engines agree what that means")
    missing = []
    parent = path.parent
    while not parent.is_dir() or parent.is_symlink():
        if os.path.lexists(parent):
            raise NotADirectoryError(parent)
        missing.append(parent)
        parent = parent.parent
    if letter == "h":
        target = overlay.inside(layer, str(value))
        if (
            not os.path.lexists(target)
            or (target.is_dir() and not target.is_symlink())
            or overlay.is_whiteout(target)
        ):
            raise FileNotFoundError(target)
    for parent in reversed(missing):
        parent.mkdir()
        lower = below / parent.relative_to(layer)
        parent.chmod(lower.lstat().st_mode & 0o7777 if lower.is_dir() and not _through(below, lower) else 0o755)
    if path.name == ".wh..wh..opq":
        overlay.make_opaque(path.parent)
    elif letter == "whiteout":
        os.mknod(path, 0o020000)
    else:
        _make(layer, path, letter, value)


def _through(root: Path, path: Path) -> bool:
    """Whether a link is on the way."""
    return any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(root))


def _make(layer: Path, path: Path, letter: str, value: str | bytes) -> None:
    if letter == "d":
        path.mkdir(exist_ok=True)
        path.chmod(0o750)
    elif letter == "l":
        path.symlink_to(str(value))
    elif letter == "h":
        os.link(overlay.inside(layer, str(value)), path, follow_symlinks=False)
    elif letter == "p":
        os.mkfifo(path)
        path.chmod(0o640)
    else:
        assert isinstance(value, bytes)
        path.write_bytes(value)
        path.chmod(0o640)
