from __future__ import annotations

from pathlib import Path

import pytest

from lineal.context import glob
from lineal.errors import BadConfiguration
from tests.unit.assemble.oracle import FolderTree

# Go's own table for path/filepath.Match, without the cases that differ on Windows.
MATCH = [
    ("abc", "abc", True), ("*", "abc", True), ("*c", "abc", True), ("a*", "a", True), ("a*", "abc", True),
    ("a*", "ab/c", False), ("a*/b", "abc/b", True), ("a*/b", "a/c/b", False), ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True), ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False), ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False), ("ab[c]", "abc", True), ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False), ("ab[^c]", "abc", False), ("ab[^b-d]", "abc", False), ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True), ("a\\*b", "ab", False), ("a?b", "a☺b", True), ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False), ("a[^a][^a][^a]b", "a☺b", False), ("[a-ζ]*", "α", True), ("*[a-ζ]", "A", False),
    ("a?b", "a/b", False), ("a*b", "a/b", False), ("[\\]a]", "]", True), ("[\\-]", "-", True), ("[x\\-]", "x", True),
    ("[x\\-]", "-", True), ("[x\\-]", "z", False), ("[\\-x]", "x", True), ("[\\-x]", "a", False),
    ("*x", "xxx", True), ("[!a]", "!", True), ("[!a]", "b", False), ("[z-a]", "m", False), ("a.c", "abc", False),
    ("a\nb", "a\nb", True), ("*", "a\nb", True), ("**", "abc", True), ("a**c", "abbc", True), ("", "", True),
    ("*a", "aa\n", False),
]  # fmt: skip
BAD = ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "[a\\", "[a-]", "[]"]


@pytest.mark.parametrize(("pattern", "name", "matches"), MATCH)
def test_patterns_match_as_in_go(pattern: str, name: str, matches: bool) -> None:
    assert bool(glob.compile(pattern).match(name)) is matches


@pytest.mark.parametrize("pattern", BAD)
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadConfiguration, match="malformed"):
        glob.compile(pattern)


def test_a_hostile_pattern_takes_no_longer_than_another() -> None:
    assert not glob.compile("a*" * 120 + "b").match("a" * 250)


@pytest.fixture
def tree(tmp_path: Path) -> FolderTree:
    for name in ("src/b.py", "src/a.py", "src/sub/c.py", "tests/c.py", "s-x", "one [1].txt", "real/deep/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name, target in {
        "link": "src", "up": "../../src", "abs": "/real/deep", "file": "src/a.py", "dead": "nowhere", "loop": "loop",
        "real/back": "../abs/f", "ping": "pong/x", "pong": "ping",
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(target)
    return FolderTree(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("src", ["src"]), ("/src/", ["src"]), ("./src/.", ["src"]), (".", [""]), ("/", [""]), ("", [""]),
        ("../../src", ["src"]), ("src/../tests/c.py", ["tests/c.py"]), ("absent", []), ("absent/x", []),
        ("src/a.py/x", []), ("*.py", []), ("src/*.py", ["src/a.py", "src/b.py"]), ("*/c.py", ["tests/c.py"]),
        ("s*", ["s-x", "src"]), ("link/a.py", ["src/a.py"]), ("link/*.py", ["src/a.py", "src/b.py"]),
        ("lin*/a.py", []), ("link", ["link"]), ("up/a.py", ["src/a.py"]), ("abs/f", ["real/deep/f"]),
        ("abs/*", ["real/deep/f"]), ("dead", []), ("loop", []), ("loop/x", []), ("loop/*", []), ("ping", []),
        ("real/back", ["real/back"]), ("src/*/*.py", ["src/sub/c.py"]), ("[rs]*/[ds]*", ["real/deep", "src/sub"]),
        ("one \\[1].t?t", ["one [1].txt"]),
    ],
)  # fmt: skip
def test_a_source_means_these_paths(tree: FolderTree, pattern: str, paths: list[str]) -> None:
    assert glob.expand(tree, pattern) == paths


@pytest.mark.parametrize(
    ("path", "found"),
    [("link", "src"), ("file", "src/a.py"), ("abs", "real/deep"), ("real/back", "real/deep/f"), ("up", "src"),
     ("dead", None), ("loop", None), ("ping", None), ("link/a.py", "src/a.py")],
)  # fmt: skip
def test_links_are_followed_inside_the_tree(tree: FolderTree, path: str, found: str | None) -> None:
    node = glob.follow(tree, path)
    assert (node.path if node else None) == found


def test_expanding_reads_no_content(tree: FolderTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FolderTree, "open", None)
    assert glob.expand(tree, "src/*.py")
