"""Git directories that do not stand in the folder that is built, and names that are not UTF-8."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration
from lineal.git.commit import Commit
from tests import servers
from tests.conftest import Lineal
from tests.strangers.commits import copied, opened


def moved(repo: servers.Repository, place: Path) -> Path:
    """The repository's git directory, moved away from its working tree."""
    shutil.move(repo.path / ".git", place)
    return place


@pytest.mark.parametrize("variables", ["both", "relative", "core.worktree", "GIT_DIR alone"])
def test_the_git_directory_and_the_working_tree_that_variables_name_are_used(
    repo: servers.Repository, tmp_path: Path, variables: str
) -> None:
    commit = repo.write({"Dockerfile": "FROM scratch\nCOPY d /\n", "d/a": "1"})
    if variables == "core.worktree":
        repo.git("config", "core.worktree", str(repo.path))
    git_dir = moved(repo, tmp_path / "elsewhere.git")
    given = {
        "both": {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(repo.path)},
        "relative": {"GIT_DIR": "../../elsewhere.git", "GIT_WORK_TREE": ".."},
        "core.worktree": {"GIT_DIR": str(git_dir)},
        "GIT_DIR alone": {"GIT_DIR": str(git_dir)},
    }[variables]
    start = repo.path if variables == "GIT_DIR alone" else repo.path / "d"
    found = Commit.open(start, repo.environment() | given)
    assert (found.root, found.git_dir, found.commit, found.branch()) == (repo.path, git_dir, commit, "main")
    repo.put({"d/a": "changed", "d/new": ""})
    assert {(change.path, change.what) for change in found.changes([""])} == {
        ("d/a", "modified"), ("d/new", "untracked")
    }  # fmt: skip


def test_a_run_builds_with_them_from_beginning_to_end(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY d /\n", "d/a": "1", "d/.gitattributes": "a filter=lfs"})
    store = f"--repo=layout:{tmp_path / 'store'}"
    before = lineal("build", store).stdout
    env = {"GIT_DIR": str(moved(repo, tmp_path / "elsewhere.git")), "GIT_WORK_TREE": str(repo.path)}
    assert lineal("build", store, env=env).stdout == before != ""
    repo.put({"d/a": "2"})
    assert lineal("build", store, env=env).code == 4
    assert lineal("build", "--dev", store, env=env).code == 0


def test_a_git_directory_that_is_none_is_named(repo: servers.Repository, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "start").mkdir()
    with pytest.raises(BadConfiguration, match=f"GIT_DIR names {tmp_path}/empty, but git cannot use it"):
        Commit.open(tmp_path / "start", repo.environment() | {"GIT_DIR": "../empty"})


def test_separate_git_directories_and_worktrees_need_no_variables(repo: servers.Repository, tmp_path: Path) -> None:
    commit = repo.write({"Dockerfile": "FROM scratch\nCOPY . /\n"})
    separate = repo.clone(tmp_path / "separate", f"--separate-git-dir={tmp_path / 'git'}")
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    for place in (separate.path, tmp_path / "tree"):
        found = opened(servers.Repository(place))
        assert (found.root, found.commit) == (place, commit)
        assert set(copied(found)) == {"Dockerfile"}


def test_names_that_are_not_utf_8_build_and_are_told(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    name = os.fsdecode(b"caf\xe9")
    repo.write({"Dockerfile": "FROM scratch\nCOPY caf* /\n", name: "1"})
    repo.branch(f"feature/{name}")
    repo.git("tag", f"v1-{name}")
    store = f"--repo=layout:{tmp_path / 'store'}"
    done = lineal("build", store, f"--report={tmp_path / 'report'}")
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "report").read_text())["context"]["branch"] == "feature/caf\ufffd"
    event = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/app", "GITHUB_REF": f"refs/heads/feature/{name}",
             "GITHUB_SHA": repo.head(), "GITHUB_EVENT_NAME": "push"}  # fmt: skip
    assert lineal("plan", "--exit-code", store, env=event).code == 0
    repo.put({name: "2"})
    changed = lineal("build", store)
    assert (changed.code, "caf\\udce9 (modified)" in changed.stderr) == (4, True)
