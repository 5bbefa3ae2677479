"""Paths as seen from a tree's root, ids of owners, and the tree of one file."""

from __future__ import annotations

import pytest

from lineal.context.glob import expand
from lineal.context.tree import MAX_ID, Node, SingleFile, Unresolvable, clamp, owner_id, resolve_links


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a/b", "a/b"), ("/a/b/", "a/b"), ("", ""), ("/", ""), (".", ""), ("./a", "a"), ("a//b", "a/b"),
        ("a/./b", "a/b"), ("a/../b", "b"), ("..", ""),
        ("../../a", "a"), ("/../a/../..", ""), ("a/..b/.c", "a/..b/.c"),
    ],
)  # fmt: skip
def test_a_path_never_leads_above_the_root(written: str, path: str) -> None:
    assert clamp(written) == path


def test_the_number_after_the_last_id_is_root() -> None:
    assert [owner_id(number) for number in (0, 1000, MAX_ID, MAX_ID + 1)] == [0, 1000, MAX_ID, 0]
    for number in (-1, MAX_ID + 2):
        with pytest.raises(ValueError, match="4294967294"):
            owner_id(number)


def test_a_tree_of_one_file_has_that_file_and_its_root_alone() -> None:
    node = Node("run.sh", "file", 0o755, size=4)
    tree = SingleFile(node, lambda: iter([b"ab", b"cd"]))
    root = tree.lstat("")
    assert root is not None and root.kind == "directory"
    assert (tree.lstat("run.sh"), tree.lstat("other")) == (node, None)
    assert (tree.children(""), tree.children("run.sh")) == (["run.sh"], [])
    assert (list(tree.walk("")), list(tree.walk("run.sh"))) == ([node], [])
    assert b"".join(tree.open(node)) == b"abcd"
    assert (expand(tree, "*.sh"), expand(tree, "run.sh/x")) == (["run.sh"], [])


LINKS = {"l": "d/e", "d/e/up": "../f", "d/e/root": "/x", "round": "round", "one": "two", "two": "one"}


def resolved(path: str, *, last: bool = True, deepest: int | None = None) -> str:
    return "/".join(resolve_links(path, lambda parts: LINKS.get("/".join(parts)), last=last, deepest=deepest))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("l", "d/e"), ("l/a", "d/e/a"), ("l/up/a", "d/f/a"), ("l/root/a", "x/a"), ("l/../a", "d/a"),
        ("/none//./a/", "none/a"), ("../../l", "d/e"), ("", ""),
    ],
)  # fmt: skip
def test_links_are_followed_inside_the_tree(path: str, found: str) -> None:
    assert resolved(path) == found


def test_the_last_component_may_stay_a_link() -> None:
    assert [resolved(path, last=False) for path in ("l", "l/up", "l/up/a", "round")] == [
        "l", "d/e/up", "d/f/a", "round",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "why"),
    [("round", "too many"), ("one/a", "too many"), ("a/b/../../l/a", None), ("a/b/c/d/..", "too deep")],
)
def test_links_and_depth_have_an_end(path: str, why: str | None) -> None:
    if why is None:
        assert resolved(path, deepest=3) == "d/e/a"
        return
    with pytest.raises(Unresolvable, match=why):
        resolved(path, deepest=3)
