"""Repositories that are damaged, and files of a commit that git and Git LFS give a meaning."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.listing import Listing
from lineal.git.commit import Commit
from lineal.git.lfs import Lfs
from tests import servers
from tests.hostile.bounds import answer
from tests.hostile.inputs import damaged, growing

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "1" * 64 + "\nsize 5\n"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> servers.Repository:
    """Packed and loose objects, a tag, a submodule that is not here, and a file of Git LFS."""
    repo = servers.Repository.create(tmp_path_factory.mktemp("hostile") / "repo")
    repo.write({"a": "text\n" * 200, "d/b": "b", ".gitattributes": "*.bin filter=lfs\n", "x.bin": POINTER})
    repo.write({"a": "text\n" * 201, ".gitmodules": '[submodule "m"]\n\tpath = m\n\turl = x\n'})
    repo.git("tag", "-a", "-m", "a tag", "v1")
    repo.git("repack", "-adfq")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'3' * 40},m")
    repo.commit()
    repo.git("branch", "other")
    return repo


def read_all(path: Path, environ: dict[str, str]) -> None:
    """What a plan asks of a commit, one question after the other; each may be refused by itself."""
    repository = answer(lambda: Commit.open(path, environ))
    if repository is None:
        return
    try:
        answer(repository.tags_at_head)
        for rev in ("v1", "other", "HEAD~1", "-x", "\udcff"):
            answer(repository.peel, rev)
        answer(lambda: repository.parents(repository.commit))
        for name in ("a", "d/b", ".gitmodules", "x.bin", "m/x"):
            answer(repository.file, name)
        answer(lambda: walked(repository))
    finally:
        repository.close()


def walked(repository: Commit) -> None:
    context = BuildContext(repository, "", Listing(repository.listing([""])), Ignore.none())
    for node in context.walk(""):
        if node.kind == "file":
            answer(b"".join, context.open(node))
    answer(lambda: context.identity(""))


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_repository_is_read_or_refused(good: servers.Repository, tmp_path_factory: pytest.TempPathFactory,
                                                  data: st.DataObject) -> None:  # fmt: skip
    copy = tmp_path_factory.mktemp("damaged") / "repo"
    shutil.copytree(good.path, copy)
    places = sorted(place for place in (copy / ".git").rglob("*") if place.is_file() and "hooks" not in place.parts)
    place = data.draw(st.sampled_from(places))
    broken = data.draw(damaged(place.read_bytes()))
    place.chmod(0o600)
    place.write_bytes(broken)
    read_all(copy, good.environment())
    shutil.rmtree(copy)


MODULES = st.sampled_from(['[submodule "', '"]\n', "m", "..", "/", "\tpath = ", "\turl = ", "m\n", "-x", "\\", "\0",
                           "é", "[", "]", "=", "\n", "#",
                           "include", "[include]\n\tpath = /etc/passwd\n", '"', "a/../m", "\r\n"])  # fmt: skip
ATTRIBUTES = st.sampled_from(["*.bin ", "filter=lfs", " ", "\n", "[attr]lfs filter=lfs\n", "* lfs\n", "!", "-", '"',
                              "\\", "**", "/", "#", "x.bin ",
                              "\0", "é", "=", "[a-"])  # fmt: skip
POINTERS = st.sampled_from([POINTER, "version ", "https://git-lfs.github.com/spec/v1\n", "oid sha256:", "1" * 64,
                            "\n", "size ", "9" * 18,
                            "9" * 30, "-1", "ext-0-x sha256:1\n", "\r\n", "5", "\0"])  # fmt: skip


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(growing(MODULES, 500), growing(ATTRIBUTES, 500), growing(POINTERS, 50))
def test_files_that_git_gives_a_meaning_are_read_or_refused(
    good: servers.Repository, modules: str, attributes: str, pointer: str
) -> None:
    files = {".gitmodules": modules, ".gitattributes": attributes, "x.bin": pointer}
    commit = committed(good, files)
    repository = answer(lambda: Commit.open(good.path, good.environment()))
    assert repository is not None
    found = repository.at(commit)
    assert found is not None
    try:
        for name in ("x.bin", "m/x", ".gitmodules"):
            answer(found.file, name)
        answer(lambda: Lfs(found).pointer("x.bin", found.oid("x.bin")))
    finally:
        repository.close()
        found.close()


def committed(repo: servers.Repository, files: dict[str, str]) -> str:
    """A commit of these files and a submodule; the working tree and its branch stay."""
    ids = [(name, run(repo, "hash-object", "-w", "--stdin", given=text.encode())) for name, text in files.items()]
    entries = [f"100644 blob {oid}\t{name}" for name, oid in ids] + [f"160000 commit {'3' * 40}\tm"]
    tree = run(repo, "mktree", "--missing", given="\n".join(entries).encode())
    return run(repo, "commit-tree", tree, "-m", "x")


def run(repo: servers.Repository, *args: str, given: bytes = b"") -> str:
    done = subprocess.run(["git", *args], cwd=repo.path, env=repo.environment(), input=given, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()
