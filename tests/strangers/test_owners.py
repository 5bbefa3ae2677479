"""Repositories of another user: their configuration names programs, which only git's own trust lets run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration
from lineal.git.commit import Commit
from tests import servers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
NOBODY = 65534


def given_away(repo: servers.Repository, *settings: tuple[str, str]) -> Path:
    """The repository of a stranger, with `settings`, and the folder of somebody else in it, where a run starts."""
    repo.write({"Dockerfile": "FROM scratch\nCOPY x /\n", "x": "1", ".gitattributes": "x filter=evil"})
    for key, value in settings:
        repo.git("config", key, value)
    os.utime(repo.path / "x", (1, 1))
    for path in (repo.path, *repo.path.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    folder = repo.path / "victim"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("key", ["core.fsmonitor", "filter.evil.clean", "include.path"])
def test_no_program_of_somebody_elses_repository_runs(repo: servers.Repository, tmp_path: Path, key: str) -> None:
    mark, included = tmp_path / "mark", tmp_path / "included"
    program = f"touch {mark}; cat"
    included.write_text(f'[core]\nfsmonitor = "{program}"\n[filter "evil"]\nclean = "{program}"\n')
    start = given_away(repo, (key, str(included) if key == "include.path" else program))
    with pytest.raises(BadConfiguration, match="belongs to another user: its configuration may name") as refused:
        Commit.open(start, repo.environment()).changes([""])
    assert refused.value.id == "LN-3017"
    assert (
        refused.value.remedy == f"If you trust its owner, run `git config --global --add safe.directory {repo.path}`."
    )
    assert not mark.exists()


def test_a_repository_of_another_user_is_read_in_a_ci_or_when_the_user_says_so(
    repo: servers.Repository, tmp_path: Path
) -> None:
    start = given_away(repo)
    config = tmp_path / "gitconfig"
    config.write_text(f"[safe]\n\tdirectory = {repo.path}\n")
    for env in ({"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true"}, {"GIT_CONFIG_GLOBAL": str(config)}):
        assert Commit.open(start, repo.environment() | env).changes([""]) == []


def test_one_of_the_user_who_became_root_is_read(repo: servers.Repository) -> None:
    start = given_away(repo)
    assert Commit.open(start, repo.environment() | {"SUDO_UID": str(NOBODY)}).changes([""]) == []


def test_a_monitor_of_files_never_runs_and_filters_of_our_own_do(repo: servers.Repository, tmp_path: Path) -> None:
    monitor, cleaned = tmp_path / "monitor", tmp_path / "cleaned"
    repo.write({"x": "1", ".gitattributes": "x filter=ours"})
    repo.git("config", "core.fsmonitor", f"touch {monitor}")
    repo.git("config", "filter.ours.clean", f"touch {cleaned}; cat")
    os.utime(repo.path / "x", (1, 1))
    assert Commit.open(repo.path, repo.environment()).changes([""]) == []
    assert (monitor.exists(), cleaned.exists()) == (False, True)
