"""`--dev`: the working tree as a commit that exists nowhere in the user's repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.errors import LinealError
from lineal.git.commit import Commit
from lineal.git.working_tree import dev_branch, working_tree
from tests import servers
from tests.unit.git.modules import LFS, add, contents, create, pointer, tree, update


def opened(repo: servers.Repository, **environ: str) -> Commit:
    return Commit.open(repo.path, repo.environment() | environ)


def files(repository: Commit) -> dict[str, bytes | None]:
    return {path: repository.file(path) for path, mode, _ in repository.listing() if mode != "040000"}


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder with its content and its mode."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_has_what_the_folder_has(repo: servers.Repository, tmp_path: Path) -> None:
    head = repo.write({"same": "1", "changed": "1", "gone": "1", "d/run": "#!/bin/sh", ".gitignore": "*.log"})
    repo.put({"changed": "2", "gone": None, "new/file": "1", "x.log": "1", "staged": "1"})
    repo.git("add", "staged")
    repo.put({"staged": "2"})
    tree = working_tree(opened(repo), tmp_path / "scratch")
    assert files(tree) == {
        "same": b"1", "changed": b"2", "d/run": b"#!/bin/sh", ".gitignore": b"*.log", "new/file": b"1", "staged": b"2"
    }  # fmt: skip
    assert ("d/run", "100755") in {(path, mode) for path, mode, _ in tree.listing()}
    assert tree.parents(tree.head()) == (head,)
    assert (tree.branch(), tree.head() != head) == ("main", True)


def test_nothing_below_git_changes(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1", "b": "1"})
    repo.git("gc", "--quiet")
    repo.git("update-index", "--split-index")
    repo.put({".git/hooks/post-index-change": "#!/bin/sh\ntouch .git/ran\n", "a": "2", "new": "1"})
    os.utime(repo.path / "b", (1, 1))
    before = everything(repo.path)
    tree = working_tree(opened(repo), tmp_path / "scratch")
    assert files(tree)["a"] == b"2"
    assert everything(repo.path) == before


def test_equal_content_is_an_equal_commit_in_another_clone_and_at_another_time(
    repo: servers.Repository, tmp_path: Path
) -> None:
    repo.write({"a": "1"})
    other = repo.clone(tmp_path / "other")
    other.git("config", "user.name", "Somebody Else")
    other.git("config", "i18n.commitEncoding", "ISO-8859-1")
    other.git("config", "commit.gpgSign", "true")
    for place in (repo, other):
        place.put({"a": "2", "b": "1"})
    one, two = working_tree(opened(repo), tmp_path / "1"), working_tree(opened(other), tmp_path / "2")
    assert one.head() == two.head()
    repo.put({"a": "3"})
    assert working_tree(opened(repo), tmp_path / "3").head() != one.head()


def test_an_edit_within_the_second_of_the_commit_is_seen(repo: servers.Repository, tmp_path: Path) -> None:
    repo.put({"a": "1"})
    os.utime(repo.path / "a", (1_700_000_000, 1_700_000_000))
    repo.git("add", "a")
    repo.commit()
    repo.put({"a": "2"})  # of the same size, and with the same time
    for path in ("a", ".git/index"):
        os.utime(repo.path / path, (1_700_000_000, 1_700_000_000))
    assert files(working_tree(opened(repo), tmp_path / "scratch")) == {"a": b"2"}


@pytest.mark.parametrize("name", ["plain", "with space", 'co:lon "quoted" \\ back', "line\nbreak", "é"])
def test_wherever_the_repository_is(tmp_path: Path, name: str) -> None:
    repo = servers.Repository.create(tmp_path / name)
    repo.write({"a": "1"})
    repo.git("gc", "--quiet")
    repo.put({"b": "1"})
    assert files(working_tree(opened(repo), tmp_path / "scratch")) == {"a": b"1", "b": b"1"}


def test_from_a_linked_worktree_and_from_a_clone_that_borrows_objects(
    repo: servers.Repository, tmp_path: Path
) -> None:
    repo.write({"a": "1"})
    repo.git("clone", "--quiet", "--shared", ".", str(tmp_path / "shared"))
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    for name in ("shared", "linked"):
        place = servers.Repository(tmp_path / name, repo.clock)
        place.put({"b": name})
        assert files(working_tree(opened(place), tmp_path / f"{name}-scratch")) == {"a": b"1", "b": name.encode()}


def test_from_a_shallow_clone_and_from_a_sparse_one(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a/x": "1"})
    repo.write({"b/x": "1"})
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    sparse = repo.clone(tmp_path / "sparse", "--sparse")
    sparse.git("sparse-checkout", "set", "a")
    for place in (shallow, sparse):
        place.put({"a/x": "2"})
        tree = working_tree(opened(place), tmp_path / f"{place.path.name}-scratch")
        assert files(tree) == {"a/x": b"2", "b/x": b"1"}


def test_the_first_files_of_a_repository_whose_index_is_gone(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    (repo.path / ".git/index").unlink()
    assert files(working_tree(opened(repo), tmp_path / "scratch")) == {"a": b"1"}


def test_a_file_that_git_cannot_add_is_one_sentence(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    (repo.path / ".gitattributes").write_text("a filter=broken\n")
    repo.git("config", "filter.broken.clean", "false")
    repo.git("config", "filter.broken.required", "true")
    repo.put({"a": "22"})
    with pytest.raises(LinealError, match=r"`git add` failed in .*") as failed:
        working_tree(opened(repo), tmp_path / "scratch")
    assert "\n" not in str(failed.value)


def test_the_branch_of_a_clone_stays_and_nobody_else_has_it(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    other = repo.clone(tmp_path / "other")
    mine = dev_branch(opened(repo))
    assert mine.startswith("lineal-dev/") and len(mine) > 30
    assert dev_branch(opened(repo)) == mine != dev_branch(opened(other))


def test_a_branch_file_that_was_left_empty_is_no_name_for_all(repo: servers.Repository) -> None:
    repo.write({"a": "1"})
    (repo.path / ".git/lineal-dev").write_text("")
    assert len(dev_branch(opened(repo))) > 30


# --- submodules and Git LFS ----------------------------------------------------------------------------------------


@pytest.fixture
def outer(repo: servers.Repository, tmp_path: Path) -> servers.Repository:
    inner = create(tmp_path / "inner", {"i": "1"})
    lib = create(tmp_path / "lib", {"a": "1", "b": "1"})
    add(lib, inner, "inner")
    repo.write({"main": "1"})
    add(repo, lib, "lib")
    update(repo)
    return repo


def test_a_submodule_is_as_its_working_tree(outer: servers.Repository, tmp_path: Path) -> None:
    before = everything(outer.path)
    clean = working_tree(opened(outer), tmp_path / "0")
    assert clean.tree == opened(outer).tree
    assert everything(outer.path) == before
    outer.put({"lib/a": "2", "lib/new": "1", "lib/b": None, "lib/inner/i": "3"})
    before = everything(outer.path)
    changed = working_tree(opened(outer), tmp_path / "1")
    assert contents(tree(changed), "lib") == {
        "lib/.gitmodules": (outer.path / "lib/.gitmodules").read_bytes(), "lib/a": b"2", "lib/new": b"1",
        "lib/inner/i": b"3",
    }  # fmt: skip
    assert changed.tree != clean.tree and changed.commit != clean.commit
    assert working_tree(opened(outer), tmp_path / "2").commit == changed.commit
    assert changed.file("lib/a") == b"2"
    assert everything(outer.path) == before
    changed.close()


def test_a_submodule_at_another_commit_and_one_that_is_not_checked_out(
    outer: servers.Repository, tmp_path: Path
) -> None:
    servers.Repository(outer.path / "lib").write({"a": "2"})
    assert contents(tree(working_tree(opened(outer), tmp_path / "1")), "lib")["lib/a"] == b"2"
    outer.git("submodule", "--quiet", "deinit", "--force", "--all")
    assert contents(tree(working_tree(opened(outer), tmp_path / "2")), "lib/inner") == {"lib/inner/i": b"1"}


def test_the_content_of_a_pointer_stays_a_pointer_also_without_git_lfs(
    repo: servers.Repository, tmp_path: Path
) -> None:
    repo.write({".gitattributes": LFS, "a.bin": pointer(b"12345"), "b.bin": pointer(b"12345")})
    repo.git("config", "filter.lfs.process", "no-such-program")
    repo.git("config", "filter.lfs.required", "true")
    repo.put({"a.bin": b"12345"})
    assert working_tree(opened(repo), tmp_path / "1").tree == opened(repo).tree
    repo.put({"a.bin": b"changed", "new.bin": b"1", "b.bin": b"12345"})
    found = working_tree(opened(repo), tmp_path / "2")
    assert contents(tree(found)) == {
        ".gitattributes": LFS.encode(), "a.bin": b"changed", "b.bin": b"12345", "new.bin": b"1"
    }  # fmt: skip
