from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.git.repository import Repository
from lineal.git.succession import is_overtaken
from tests import servers

ENVIRON = {"PATH": os.environ["PATH"], **servers.GIT_ISOLATION}


@pytest.mark.parametrize("options", [(), ("--depth=1",), ("--depth=2",)])
def test_a_later_commit_is_known_although_the_clone_lacks_it(
    repo: servers.Repository, tmp_path: Path, options: tuple[str, ...]
) -> None:
    earliest = repo.commit("One")
    repo.commit("Two")
    repo.branch("side")
    side = repo.commit("Side")
    repo.switch("main")
    mine = repo.commit("Three")
    clone = repo.clone(tmp_path / "clone", *options)
    later = [repo.commit(f"Later {number}") for number in range(3)][-1]
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")

    def overtaken(by: str) -> bool:
        return is_overtaken(Repository.open(clone.path, dict(ENVIRON)), mine, by, tmp_path / "cache")

    assert overtaken(later)
    assert not overtaken(mine)
    assert not overtaken(earliest)
    assert not overtaken(side)
    assert not overtaken("f" * 40)
