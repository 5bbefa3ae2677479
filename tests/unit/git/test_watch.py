"""A working tree that is watched: which changes are seen, and what is none."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lineal.git.commit import Commit
from lineal.git.watch import Watch
from tests import servers


@pytest.fixture
def watch(repo: servers.Repository) -> Watch:
    repo.write({"app/main": "1", "README": "1", ".gitignore": "*.log\n"})
    return Watch(Commit.open(repo.path, repo.environment()))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda root: (root / "app/main").write_text("2"), "app/main"),
        (lambda root: (root / "app/main").chmod(0o755), "app/main"),
        (lambda root: (root / "app/main").unlink(), "app/main"),
        (lambda root: (root / "app/new").write_text("1"), "app/new"),
        (
            lambda root: ((root / "made/deep").mkdir(parents=True), (root / "made/deep/f").write_text("1")),
            "made/deep/f",
        ),
        (lambda root: (root / ".git/HEAD").write_text("ref: refs/heads/other\n"), ".git/HEAD"),
    ],
)
def test_what_would_be_built_differently_is_seen(
    repo: servers.Repository, watch: Watch, change: Callable[..., object], path: str
) -> None:
    seen = watch.look()
    change(repo.path)
    assert path in watch.wait(seen)


def test_what_git_ignores_is_no_change(repo: servers.Repository, watch: Watch) -> None:
    seen = watch.look()
    (repo.path / "app/debug.log").write_text("line")
    assert watch.look() == seen


def test_it_waits_until_somebody_saves(repo: servers.Repository, watch: Watch) -> None:
    seen = watch.look()
    found: list[list[str]] = []
    waiting = threading.Thread(target=lambda: found.append(watch.wait(seen)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    (repo.path / "README").write_text("22")
    waiting.join(60)
    assert found == [["README"]]
