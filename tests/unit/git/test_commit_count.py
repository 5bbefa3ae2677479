from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration
from lineal.git.commit_count import commit_count
from lineal.git.repository import Repository
from tests import servers

ENVIRON = {"PATH": os.environ["PATH"], **servers.GIT_ISOLATION}


@pytest.fixture
def history(repo: servers.Repository) -> servers.Repository:
    """Ten commits, two lines of them merged."""
    for number in range(3):
        repo.commit(f"Main {number}")
    repo.branch("side")
    for number in range(4):
        repo.commit(f"Side {number}")
    repo.switch("main")
    repo.commit("Main 3")
    repo.commit("Main 4")
    repo.merge("side")
    return repo


def count(repository: servers.Repository, cache: Path) -> int:
    return commit_count(Repository.open(repository.path, dict(ENVIRON)), cache)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 9])
def test_a_shallow_clone_counts_as_a_full_one(history: servers.Repository, tmp_path: Path, depth: int) -> None:
    assert count(history, tmp_path) == 10
    clone = history.clone(tmp_path / "clone", f"--depth={depth}")
    assert count(clone, tmp_path / "cache") == 10
    # A commit that nobody has pushed.
    clone.commit("Mine")
    assert count(clone, tmp_path / "cache") == 11


def test_a_history_that_cannot_be_fetched_is_no_lower_number(history: servers.Repository, tmp_path: Path) -> None:
    clone = history.clone(tmp_path / "clone", "--depth=2")
    clone.git("remote", "set-url", "origin", f"file://{tmp_path}/nothing")
    with pytest.raises(BadConfiguration, match="its missing history could not be fetched"):
        count(clone, tmp_path / "cache")
