"""Trees and commits as git reads them, whether git or dulwich reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.git.command import GitFailed
from lineal.git.objects import Objects, parse_listing
from tests import servers
from tests.unit.git.modules import opened

OID = bytes(range(20))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> servers.Repository:
    repo = servers.Repository.create(tmp_path_factory.mktemp("scratch") / "made")
    repo.write({"a": "1"})
    return repo


def run(repo: servers.Repository, *args: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", *args], cwd=repo.path, env=repo.environment(), input=given, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def put(repo: servers.Repository, kind: str, content: bytes) -> str:
    hashed = run(repo, "hash-object", "-t", kind, "--literally", "-w", "--stdin", given=content)
    return hashed.decode().strip()


def objects_of(repo: servers.Repository) -> Objects:
    return opened(repo).objects


def git_says(repo: servers.Repository, *args: str) -> bytes | None:
    """None where git refuses."""
    done = subprocess.run(["git", *args], cwd=repo.path, env=repo.environment(), capture_output=True)
    return done.stdout if done.returncode == 0 else None


MODES = st.sampled_from([
    b"40000", b"100644", b"100755", b"120000", b"160000", b"040000", b"100664", b"100600", b"0100644", b"+40000",
    b"0o40000", b"1_00644", b" 100644", b"", b"0", b"777", b"100000", b"140000", b"-1", b"8", b"7" * 30, b"40755",
])  # fmt: skip
TREE_NAMES = st.sampled_from(
    [b"", b".", b"..", b".git", b"a", b"b", b"a/b", b"/", b"\n", b"\xff", b"\xc3\xa9", b"a b"]
)
TREES = st.lists(st.tuples(MODES, TREE_NAMES, st.binary(min_size=20, max_size=20)), max_size=4)


@given(entries=TREES, cut=st.integers(0, 40), noise=st.tuples(st.integers(0, 100), st.integers(0, 255)))
def test_a_tree_is_what_git_says_or_is_refused_as_git_refuses_it(
    scratch: servers.Repository, entries: list[tuple[bytes, bytes, bytes]], cut: int, noise: tuple[int, int]
) -> None:
    content = bytearray(b"".join(mode + b" " + name + b"\0" + oid for mode, name, oid in entries))
    if noise[0] < len(content) and noise[0] < 60:
        content[noise[0]] = noise[1]
    tree = bytes(content[: len(content) - cut] if cut < 25 else content)
    oid = put(scratch, "tree", tree)
    listed = git_says(scratch, "ls-tree", "-z", oid)
    objects = objects_of(scratch)
    try:
        found = objects.tree(oid)
    except GitFailed:
        assert listed is None
    else:
        assert listed is not None
        wanted = {name.encode("utf-8", "surrogateescape"): entry for name, *entry in parse_listing(listed)}
        assert {name: list(entry) for name, entry in found.items()} == wanted
    finally:
        objects.close()


LINES = st.sampled_from([
    b"author A <a@b> 1 +0000", b"committer A <a@b> 1 +0000", b"parent " + b"1" * 40, b"parent " + b"a" * 40,
    b"encoding x", b"gpgsig x\n y", b"author", b"author A <a@b> 1", b"author A <a@b> -5 0000", b"parent " + b"G" * 40,
    b"parent " + b"1" * 39, b"parent", b"tree " + b"2" * 40, b"nothing", b"", b"mergetag x", b" y", b"\xff \xff",
    b"parent " + b"B" * 40, b"committer <>", b"parent  " + b"1" * 40, b"mergetag object " + b"1" * 40 + b"\n tag x",
])  # fmt: skip
EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@given(parents=st.integers(0, 2), lines=st.lists(LINES, max_size=4), end=st.sampled_from([b"\n\nmsg\n", b"\n", b""]),
       first=st.sampled_from([b"tree " + EMPTY.encode()] * 5 + [b"tree"]))  # fmt: skip
def test_a_commit_names_what_git_says(
    scratch: servers.Repository, parents: int, lines: list[bytes], end: bytes, first: bytes
) -> None:
    put(scratch, "tree", b"")
    ids = [b"parent %040d" % number for number in range(parents)]
    people = [b"author A <a@b> 1 +0000", b"committer A <a@b> 1 +0000"]
    oid = put(scratch, "commit", b"\n".join([first, *ids, *lines[:2], *people, *lines[2:]]) + end)
    said = git_says(scratch, "rev-parse", f"{oid}^{{tree}}", f"{oid}^@")
    objects = objects_of(scratch)
    try:
        found = objects.commit(oid)
    except GitFailed:
        assert said is None
    else:
        assert said is not None
        assert [found.tree, *found.parents] == said.decode().split()
    finally:
        objects.close()


def test_an_odd_commit_of_a_shallow_clone_names_its_parents(repo: servers.Repository, tmp_path: Path) -> None:
    first = repo.write({"a": "1"})
    tree = repo.git("rev-parse", "HEAD^{tree}")
    odd = put(
        repo, "commit", f"tree {tree}\nparent {first}\nauthor A <a@b> 1\ncommitter A <a@b> 1 +0000\n\nm".encode()
    )
    repo.git("reset", "--quiet", "--hard", odd)
    assert opened(repo.clone(tmp_path / "shallow", "--depth=1")).parents(odd) == (first,)


def test_a_mode_may_begin_with_a_zero(scratch: servers.Repository) -> None:
    """Some tools write it so; git only warns of it."""
    tree = put(scratch, "tree", b"040000 docker\0" + OID)
    assert objects_of(scratch).tree(tree) == {b"docker": ("040000", OID.hex())}


@pytest.mark.parametrize("cut", [1, 5, 12, 20, 31])
def test_a_directory_that_is_cut_off_is_a_sentence(scratch: servers.Repository, cut: int) -> None:
    tree = put(scratch, "tree", (b"100644 file\0" + OID)[:-cut])
    with pytest.raises(GitFailed, match=r"`git ls-tree` failed in .*: fatal: "):
        objects_of(scratch).tree(tree)


@pytest.mark.parametrize("path", ["", "/", "a/", "a//b", "./a/b", "a/../a/b", "a/b/c", "b", "a\0b", "A/b"])
def test_a_path_is_found_as_it_is_written_or_not_at_all(repo: servers.Repository, path: str) -> None:
    repo.write({"a/b": "text", "link": "x"})
    here = opened(repo)
    assert here.file(path) is None
    assert here.file("a/b") == b"text"
