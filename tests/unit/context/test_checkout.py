"""A directory of the commit on disk, with nothing of the machine in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lineal.context.checkout import check_out
from lineal.errors import BadConfiguration
from lineal.git.command import GitFailed
from lineal.git.commit import Commit
from tests import servers


def written(
    repo: servers.Repository, folder: str, place: Path, /, **links: str
) -> dict[str, tuple[bytes, int]] | None:
    for name, target in links.items():
        (repo.path / folder / name).symlink_to(target)
    repo.git("add", "--all")
    repo.commit()
    if not check_out(Commit.open(repo.path, repo.environment()), folder, place):
        return None
    return {
        path.relative_to(place).as_posix(): (path.read_bytes(), path.lstat().st_mode & 0o7777)
        for path in place.rglob("*")
        if not path.is_dir()
    }


def test_files_are_those_of_the_commit_with_their_modes(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"c/Chart.yaml": "1", "c/deep/er/run": "#!/bin/sh", "other/x": "1"})
    repo.put({".git/info/exclude": "*"})
    repo.put({"c/Chart.yaml": "changed", "c/new": "1"})
    place = tmp_path / "out"
    assert check_out(Commit.open(repo.path, repo.environment()), "c", place)
    assert (place / "Chart.yaml").read_text() == "1" and (place / "Chart.yaml").stat().st_mode & 0o777 == 0o644
    assert (place / "deep/er/run").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in place.rglob("*")) == ["Chart.yaml", "deep", "er", "run"]


def test_the_whole_commit(repo: servers.Repository, tmp_path: Path) -> None:
    repo.put({"a": "1", "d/b": "2"})
    assert written(repo, ".", tmp_path / "out") == {"a": (b"1", 0o644), "d/b": (b"2", 0o644)}


@pytest.mark.parametrize("folder", ["none", "file", "c/none"])
def test_what_is_no_directory_of_the_commit(repo: servers.Repository, tmp_path: Path, folder: str) -> None:
    repo.put({"file": "1", "c/a": "1"})
    assert written(repo, folder, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_links_become_what_they_lead_to(repo: servers.Repository, tmp_path: Path) -> None:
    repo.put({"c/a": "1", "c/run": "#!/bin/sh", "shared/values": "2", "shared/deep/x": "3"})
    (repo.path / "shared/again").symlink_to("values")
    found = written(repo, "c", tmp_path / "out", near="a", exe="run", far="../shared/values", folder="../shared")
    assert found == {
        "a": (b"1", 0o644), "run": (b"#!/bin/sh", 0o755), "near": (b"1", 0o644), "exe": (b"#!/bin/sh", 0o755),
        "far": (b"2", 0o644), "folder/values": (b"2", 0o644), "folder/deep/x": (b"3", 0o644),
        "folder/again": (b"2", 0o644),
    }  # fmt: skip


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../../../../etc/passwd", "none", "link", "/proc/self/environ"]
)
def test_a_link_to_what_the_commit_lacks_is_refused(repo: servers.Repository, tmp_path: Path, target: str) -> None:
    repo.put({"c/a": "1"})
    with pytest.raises(BadConfiguration, match=r"^c/link: is a symbolic link that leads to no file of this commit"):
        written(repo, "c", tmp_path / "out", link=target)


@pytest.mark.parametrize("target", [".", "..", "../c", "../other"])
def test_links_that_lead_to_each_other_are_refused(repo: servers.Repository, tmp_path: Path, target: str) -> None:
    repo.put({"c/a": "1", "other/b": "1"})
    (repo.path / "other/back").symlink_to("../c")
    with pytest.raises(BadConfiguration, match="is a symbolic link that leads to a directory that is already"):
        written(repo, "c", tmp_path / "out", link=target)


def test_a_submodule_that_is_not_here_is_refused(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"c/a": "1"})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.head()},c/lib")
    repo.commit()
    with pytest.raises(BadConfiguration, match=r"^The submodule c/lib is pinned to commit"):
        check_out(Commit.open(repo.path, repo.environment()), "c", tmp_path / "out")


@pytest.mark.parametrize("name", ["..", ".", ".git", ".GIT", "a/b", "../../up", "/etc"])
@pytest.mark.parametrize("kind", ["tree", "blob"])
def test_names_that_git_itself_would_not_check_out_are_refused(
    repo: servers.Repository, tmp_path: Path, name: str, kind: str
) -> None:
    """A hostile commit, made without git's own checks."""
    repo.put({"c/a": "1", "d": "1"})
    repo.git("add", "--all")
    repo.commit()
    inner = repo.git("rev-parse", "HEAD:c" if kind == "tree" else "HEAD:d")
    mode = b"40000" if kind == "tree" else b"100644"
    chart = hashed(repo, mode + b" " + name.encode() + b"\0" + bytes.fromhex(inner))
    root = hashed(repo, b"40000 c\0" + bytes.fromhex(chart))
    repo.git("update-ref", "HEAD", repo.git("commit-tree", "-m", "bad", root))
    with pytest.raises(BadConfiguration, match=rf"^c/{re.escape(name)}\S*: is not a path that a file can have"):
        check_out(Commit.open(repo.path, repo.environment()), "c", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "up").exists()


def test_a_name_that_git_itself_cannot_read_is_said_in_its_words(repo: servers.Repository, tmp_path: Path) -> None:
    repo.put({"c": "1"})
    repo.git("add", "--all")
    repo.commit()
    root = hashed(repo, b"100644 \0" + bytes.fromhex(repo.git("rev-parse", "HEAD:c")))
    repo.git("update-ref", "HEAD", repo.git("commit-tree", "-m", "bad", root))
    with pytest.raises(GitFailed, match="empty filename"):
        check_out(Commit.open(repo.path, repo.environment()), ".", tmp_path / "out")


def hashed(repo: servers.Repository, tree: bytes) -> str:
    command = ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    done = subprocess.run(command, cwd=repo.path, env=repo.environment(), input=tree, capture_output=True, check=True)
    return done.stdout.decode().strip()
