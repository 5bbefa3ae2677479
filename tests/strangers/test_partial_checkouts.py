"""Sparse and partial clones, as CI makes them of large repositories."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lineal.context.build_context import BuildContext
from lineal.git.cat_file import MissingObject
from tests import servers
from tests.conftest import Lineal
from tests.strangers.commits import checksums, opened, planned
from tests.unit.git.modules import pointer

FILES = {
    "Dockerfile": "FROM scratch\nCOPY app /app/\n",
    "app/file": "app",
    "app/deep/file": "deep",
    "other/.gitattributes": "*.txt text\n*.bin filter=lfs\n",
    "other/file": "other",
    "other/deep/file": "other and deep",
}


def clone(repo: servers.Repository, place: Path, *options: str, cone: bool = True) -> servers.Repository:
    """A clone of which only `app` and the files of the root are checked out, as actions/checkout makes it."""
    repo.git("config", "uploadpack.allowFilter", "true")
    sparse = repo.clone(place, "--no-checkout", *options)
    sparse.git("sparse-checkout", "set", *(["--cone", "app"] if cone else ["--no-cone", "/app/", "/*", "!/other/"]))
    sparse.git("checkout", "--quiet", "main")
    assert not (place / "other").exists()
    return sparse


def absent(repo: servers.Repository) -> set[str]:
    """The objects that the clone does not have."""
    listed = repo.git("rev-list", "--objects", "--missing=print", "HEAD").split("\n")
    return {line[1:] for line in listed if line.startswith("?")}


def cut_off(repo: servers.Repository) -> None:
    """The remote cannot be reached any more."""
    repo.git("remote", "set-url", "origin", "file:///nowhere")


@pytest.mark.parametrize("cone", [True, False])
@pytest.mark.parametrize("filter", ["blob:none", "tree:0"])
def test_what_lies_outside_of_the_checkout_is_not_read(
    repo: servers.Repository, tmp_path: Path, filter: str, cone: bool
) -> None:
    repo.write(FILES)
    sparse = clone(repo, tmp_path / "sparse", f"--filter={filter}", cone=cone)
    before = absent(sparse)
    assert before
    cut_off(sparse)
    assert checksums(opened(sparse)) == checksums(opened(repo))
    assert absent(sparse) == before


def test_attributes_of_folders_that_no_instruction_reads_do_not_count(
    repo: servers.Repository, tmp_path: Path
) -> None:
    files = {
        **FILES,
        ".gitattributes": "*.bin filter=lfs\n",
        "app/a.bin": pointer(b"a"),
        "app/sub/.gitattributes": "",
    }
    repo.write({**files, ".dockerignore": "other\n", "Dockerfile": "FROM scratch\nCOPY . /\n"})
    sparse = clone(repo, tmp_path / "sparse", "--filter=blob:none")
    cut_off(sparse)
    assert checksums(opened(sparse)) == checksums(opened(repo))
    assert {"lfs:" in oid for path, _, oid in _context(sparse).identity("app") if path.endswith(".bin")} == {True}


def test_attributes_outside_of_the_checkout_count_for_the_files_there(
    repo: servers.Repository, tmp_path: Path
) -> None:
    repo.write(
        {**FILES, "other/a.bin": pointer(b"a"), "app/a.bin": pointer(b"b"), "app/.gitattributes": "* filter=lfs"}
    )
    repo.write({"Dockerfile": "FROM scratch\nCOPY app /app/\nCOPY other/a.bin /\n"})
    sparse = clone(repo, tmp_path / "sparse", "--filter=blob:none")
    commit = opened(sparse)
    assert checksums(commit) == checksums(opened(repo))
    context = planned(commit).last["app"].context
    assert context is not None
    found = {path: oid[:4] for path, _, oid in (*context.identity("app/a.bin"), *context.identity("other/a.bin"))}
    assert found == {"app/a.bin": "lfs:", "other/a.bin": "lfs:"}


def test_what_an_instruction_reads_there_is_fetched_at_once(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({**FILES, "Dockerfile": "FROM scratch\nCOPY other /other/\n", "unread/file": "x"})
    sparse = clone(repo, tmp_path / "sparse", "--filter=blob:none")
    unread = {repo.git("rev-parse", "HEAD:unread/file")}
    context = _context(sparse)
    assert b"".join(b"".join(context.open(node)) for node in context.walk("other") if node.kind == "file")
    assert absent(sparse) == unread - absent(repo)


@pytest.mark.parametrize("path", ["other/deep/file", "other/.gitattributes"])
def test_what_cannot_be_fetched_is_named_with_its_file_and_the_way_out(
    repo: servers.Repository, tmp_path: Path, path: str
) -> None:
    repo.write({**FILES, "Dockerfile": f"FROM scratch\nCOPY {path} /\n"})
    sparse = clone(repo, tmp_path / "sparse", "--filter=blob:none")
    cut_off(sparse)
    with pytest.raises(MissingObject) as refused:
        context = _context(sparse)
        list(context.walk("other"))
    text = str(refused.value)
    assert re.match(r"other/\S+: it was left out of this clone, and the remote 'origin' did not give it\.", text)
    assert "sparse-checkout" in text and not re.search("[0-9a-f]{40}", text)
    assert refused.value.exit_code == 3


def test_a_folder_that_cannot_be_fetched_is_named(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write(FILES)
    repo.git("config", "uploadpack.allowFilter", "true")
    bare = repo.clone(tmp_path / "partial", "--filter=tree:0", "--no-checkout")
    bare.git("read-tree", "--empty")
    cut_off(bare)
    commit = opened(repo)
    tree = commit.entry("other/deep")[1]
    _keep_trees(repo, bare, [commit.tree, commit.entry("app")[1], commit.entry("other")[1]])
    with pytest.raises(MissingObject, match=r"^other/deep|^app/deep") as refused:
        opened(bare).listing()
    assert tree not in str(refused.value)


def _keep_trees(repo: servers.Repository, other: servers.Repository, oids: list[str]) -> None:
    for oid in oids:
        source = repo.path / ".git/objects" / oid[:2] / oid[2:]
        place = other.path / ".git/objects" / oid[:2] / oid[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def test_a_damaged_clone_names_the_file(repo: servers.Repository) -> None:
    repo.write(FILES)
    oid = repo.git("rev-parse", "HEAD:other/file")
    (repo.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(MissingObject, match=r"^other/file: it is missing in the clone, which is damaged\. Clone it"):
        list(_context(repo).walk("other"))


def test_a_build_fetches_and_the_working_tree_builds_the_same(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    repo.write({**FILES, "Dockerfile": "FROM scratch\nCOPY app other /x/\n"})
    sparse = clone(repo, tmp_path / "sparse", "--filter=blob:none")
    store = f"--repo=layout:{tmp_path / 'store'}"
    first = lineal("build", store, cwd=sparse.path)
    assert (first.code, lineal("build", store).stdout.split()[1:]) == (0, first.stdout.split()[1:]), first.stderr
    dev = lineal("build", "--dev", store, cwd=sparse.path)
    assert dev.code == 0, dev.stderr


def _context(repo: servers.Repository) -> BuildContext:
    context = planned(opened(repo)).last["app"].context
    assert context is not None
    return context
