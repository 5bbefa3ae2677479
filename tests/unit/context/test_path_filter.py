"""`--exclude` and `--parents`: what is let through, compared with a slow and obvious reading of the rules."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from e2b_dockerfile_utils import PatternMatcher
from hypothesis import given
from hypothesis import strategies as st

from lineal.context.path_filter import PathFilter, split
from lineal.errors import BadConfiguration


@dataclass(frozen=True)
class Thing:
    path: str
    kind: str


def tree(*files: str) -> list[Thing]:
    folders = {"/".join(name.split("/")[:count]) for name in files for count in range(1, name.count("/") + 1)}
    things = [Thing(name, "directory") for name in folders] + [Thing(name, "file") for name in set(files) - folders]
    return sorted(things, key=lambda thing: thing.path)


TREE = tree("a.txt", "b.md", "d/a.txt", "d/b.md", "d/e/c.md", "e/f/g.txt")
NAMES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(
    st.tuples(st.sampled_from(["", "!"]), st.lists(st.sampled_from(["a", "b", "*", "**", "?", "[ab]"]), min_size=1,
                                                   max_size=3).map("/".join)).map("".join), max_size=3)  # fmt: skip


def through(path_filter: PathFilter, things: list[Thing], root: str = "") -> dict[str, bool]:
    return {thing.path: meant for thing, meant in path_filter.select(root, things)}


def test_excluded_files_stay_behind_and_their_directories_do_not() -> None:
    assert through(PathFilter(None, ("**/*.md",)), TREE).keys() == {
        "a.txt", "d", "d/a.txt", "d/e", "e", "e/f", "e/f/g.txt",
    }  # fmt: skip


def test_an_excluded_directory_takes_all_with_it_but_what_is_taken_back() -> None:
    assert through(PathFilter(None, ("d", "e")), TREE).keys() == {"a.txt", "b.md"}
    assert through(PathFilter(None, ("d", "e", "!d/e")), TREE) == {
        "a.txt": True, "b.md": True, "d": False, "d/e": True, "d/e/c.md": True,
    }  # fmt: skip


def test_included_files_bring_the_directories_above_them() -> None:
    assert through(PathFilter("*/*/*.txt"), TREE) == {"e": False, "e/f": False, "e/f/g.txt": True}
    assert through(PathFilter("d/e"), TREE) == {"d": False, "d/e": True, "d/e/c.md": True}
    assert through(PathFilter("**/a.txt", ("d",)), TREE) == {"a.txt": True}


def test_patterns_are_seen_from_the_source() -> None:
    below = [thing for thing in TREE if thing.path.startswith("d/")]
    assert through(PathFilter(None, ("*.md",)), below, "d").keys() == {"d/a.txt", "d/e", "d/e/c.md"}


def test_a_slash_in_front_and_a_hash_are_nothing_special() -> None:
    assert through(PathFilter(None, ("/a.txt", "#x")), tree("a.txt", "#x")).keys() == {"a.txt"}


@given(st.lists(NAMES, max_size=8), PATTERNS, st.none() | st.sampled_from(["a", "*/b", "**/c", "[ab]/*"]))
def test_it_lets_through_what_the_patterns_say(names: list[str], exclude: list[str], include: str | None) -> None:
    things = tree(*names)
    excluded, included = PatternMatcher(exclude), PatternMatcher([include or "**"])
    wanted = {
        thing.path for thing in things
        if not excluded.matches(thing.path) and (include is None or included.matches(thing.path))
    }  # fmt: skip
    found = through(PathFilter(include, tuple(exclude)), things)
    assert {path for path, meant in found.items() if meant} == wanted
    for path, meant in found.items():
        assert "/" not in path or path.rpartition("/")[0] in found, "parents come too"
        assert meant or any(other.startswith(f"{path}/") for other in wanted), "none that leads nowhere"


@pytest.mark.parametrize("pattern", ["[a", "!", "a[b-"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadConfiguration, match="Invalid ignore pattern"):
        PathFilter(None, (pattern,)).check()


@pytest.mark.parametrize(
    ("source", "root", "pattern"),
    [("a/b", "", "a/b"), ("./a", "", "a"), ("/a/../b", "", "b"), ("x/./y/z", "x", "y/z"), ("x/./z/./q", "x", "z/q"),
     (".", "", ""), ("x/./", "x", ""), ("/./a", "", "a"), ("*/./b", "*", "b")],
)  # fmt: skip
def test_a_source_is_split_at_its_first_pivot(source: str, root: str, pattern: str) -> None:
    assert split(source) == (root, pattern)
