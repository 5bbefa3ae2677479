"""The build context as the commit has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.glob import expand
from lineal.context.listing import Listing
from lineal.context.missing_source import explain
from lineal.git.commit import Commit
from tests import servers


def context(repo: servers.Repository, folder: str = "", ignore: str = "") -> BuildContext:
    repository = Commit.open(repo.path, repo.environment())
    return BuildContext(
        repository, folder, Listing(repository.listing([folder])), Ignore(ignore, file=".dockerignore")
    )


def committed(repo: servers.Repository, files: Mapping[str, str | bytes], links: Mapping[str, str] = {}) -> None:
    repo.put(files)
    for name, target in links.items():
        (repo.path / name).parent.mkdir(parents=True, exist_ok=True)
        (repo.path / name).symlink_to(target)
    repo.git("add", "--all")
    repo.commit()


def test_nodes_are_what_git_has(repo: servers.Repository) -> None:
    committed(repo, {"a": "12345", "run": "#!/bin/sh", "d/e/f": ""}, {"d/link": "../a", "dangling": "/no/where"})
    tree = context(repo)
    found = {node.path: (node.kind, node.mode, node.size, node.target) for node in tree.walk("")}
    assert found == {
        "a": ("file", 0o644, 5, ""), "run": ("file", 0o755, 9, ""), "d": ("directory", 0o755, 0, ""),
        "d/e": ("directory", 0o755, 0, ""), "d/e/f": ("file", 0o644, 0, ""),
        "d/link": ("symlink", 0o777, 0, "../a"), "dangling": ("symlink", 0o777, 0, "/no/where"),
    }  # fmt: skip
    assert [tree.lstat(path) for path in found] == list(tree.walk(""))[: len(found)]
    assert {node.mtime for node in tree.walk("")} == {None}
    assert (tree.children(""), tree.children("d"), tree.children("a")) == (
        ["a", "d", "dangling", "run"],
        ["e", "link"],
        [],
    )
    root = tree.lstat("")
    assert root is not None and root.kind == "directory"
    assert [tree.lstat(path) for path in ("none", "d/", "/a", "a/b")] == [None] * 4


def test_paths_are_relative_to_the_context(repo: servers.Repository) -> None:
    committed(repo, {"api/src/a": "1", "api2/b": "1", "c": "1"})
    assert [node.path for node in context(repo, "api").walk("")] == ["src", "src/a"]
    assert context(repo, "none").children("") == []


def test_content_comes_from_the_commit_and_names_alone_have_none(repo: servers.Repository) -> None:
    big = os.urandom(3_000_000)
    committed(repo, {"big": big})
    repo.put({"big": "changed"})
    tree = context(repo)
    node = tree.lstat("big")
    assert node is not None and b"".join(tree.open(node)) == big
    assert node.size == len(big)
    names = tree.names()
    assert [entry.path for entry in names.walk("")] == names.children("") == ["big"]


def test_order_is_that_of_paths_with_parents_first(repo: servers.Repository) -> None:
    committed(repo, dict.fromkeys(("a/x", "a-b/x", "a.b", "a/b/x", "aa", "B", "é"), "1"))
    tree = context(repo)
    paths = [node.path for node in tree.walk("")]
    assert paths == sorted(paths)
    assert tree.below("a") == ["a/b", "a/b/x", "a/x"]
    assert [path for path, _, _ in tree.identity("")] == [path for path in paths if path not in ("a", "a-b", "a/b")]


def test_identity_is_names_modes_and_ids(repo: servers.Repository) -> None:
    committed(repo, {"d/a": "1", "d/run": "#!/bin/sh"}, {"d/link": "a"})
    oid = {name: repo.git("rev-parse", f"HEAD:d/{name}") for name in ("a", "link", "run")}
    tree = context(repo)
    assert tree.identity("d/a") == [("d/a", "100644", oid["a"])]
    assert tree.identity("d") == [
        ("d/a", "100644", oid["a"]), ("d/link", "120000", oid["link"]), ("d/run", "100755", oid["run"])
    ]  # fmt: skip


def test_a_directory_counts_by_itself_only_where_nothing_in_it_is_left(repo: servers.Repository) -> None:
    # `d-x` sorts between `d` and what is in `d`.
    committed(repo, {"d/a": "1", "d-x/a": "1", "emptied/a.log": "1", "deep/er/a.log": "1"})
    tree = context(repo, ignore="**/*.log")
    assert [(path, mode) for path, mode, _ in tree.identity("")] == [
        ("d-x/a", "100644"), ("d/a", "100644"), ("deep/er", "040000"), ("emptied", "040000")
    ]  # fmt: skip
    assert tree.identity("emptied") == []


def test_identity_does_not_depend_on_what_was_ignored(repo: servers.Repository, tmp_path: Path) -> None:
    committed(repo, {"d/a": "1", "d/x.log": "1", "e/x.log": "1"})
    other = servers.Repository.create(tmp_path / "other")
    committed(other, {"d/a": "1"})
    assert context(repo, ignore="**/*.log\ne").identity("") == context(other).identity("")


def test_a_folder_emptied_by_ignoring_is_still_a_folder(repo: servers.Repository) -> None:
    committed(repo, {"d/x.log": "1", "gone/a": "1"})
    tree = context(repo, ignore="*/*.log\ngone")
    assert [(node.path, node.kind) for node in tree.walk("")] == [("d", "directory")]


def test_names_of_any_bytes_come_through(repo: servers.Repository) -> None:
    name = os.fsdecode(b"latin-\xe9\n")
    committed(repo, {f"d/{name}": "1"})
    tree = context(repo)
    assert tree.children("d") == [name]
    node = tree.lstat(f"d/{name}")
    assert node is not None and b"".join(tree.open(node)) == b"1"


# --- why nothing matched --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "line"),
    [("x.log", "!x.log"), ("./x.log", "!x.log"), ("*.log", "!*.log"), ("/d/*.log", "!d/*.log"),
     ("link/x.log", "!d/x.log")],
)  # fmt: skip
def test_what_dockerignore_excludes_is_said_so(repo: servers.Repository, pattern: str, line: str) -> None:
    committed(repo, {"x.log": "1", "d/x.log": "1"}, {"link": "d"})
    tree = context(repo, ignore="**/*.log")
    assert expand(tree, pattern) == []
    assert (
        explain(tree, pattern)
        == f"it is excluded by .dockerignore. Take it back there with `{line}` as the last line."
    )
    assert expand(context(repo, ignore=f"**/*.log\n{line}"), pattern) != []


@pytest.mark.parametrize("pattern", ["new", "/new", "ne?", "d/new", "*/new", "link/new", "[mn]ew", "d/../new"])
def test_what_is_not_committed_is_said_so(repo: servers.Repository, pattern: str) -> None:
    committed(repo, {"api/a": "1"})
    repo.put({"api/new": "1", "api/d/new": "1"})
    (repo.path / "api/link").symlink_to("d")
    assert explain(context(repo, "api", ignore="other"), pattern) == (
        "it is in the working tree, but not in the commit. Run `git add` and `git commit` first, or build the "
        "working tree with --dev."
    )


@pytest.mark.parametrize(
    "pattern",
    ["none", "*.none", "../outside", "../../etc/passwd", "/etc/passwd", "**none", "a/**b", "a/x", "n\x00ul", "."],
)
def test_what_is_nowhere_is_said_so(repo: servers.Repository, pattern: str) -> None:
    committed(repo, {"api/a": "1", "outside": "1"})
    if pattern == ".":
        repo.git("rm", "-r", "--quiet", "api")
        repo.commit()
        assert not (repo.path / "api").exists()
        assert explain(context(repo, "api"), "x") == "there is no such file in the commit, below 'api'."
    else:
        outside = " 'outside' lies outside of this context." if pattern == "../outside" else ""
        assert explain(context(repo, "api"), pattern) == f"there is no such file in the commit, below 'api'.{outside}"


def test_the_root_is_called_the_root(repo: servers.Repository) -> None:
    committed(repo, {"a": "1"})
    assert explain(context(repo), "none") == "there is no such file in the commit."


def test_git_s_own_folder_is_no_part_of_the_working_tree(repo: servers.Repository) -> None:
    committed(repo, {"a": "1"})
    assert "no such file" in explain(context(repo), ".gi*")
