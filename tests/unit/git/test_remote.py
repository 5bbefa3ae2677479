"""The head of a branch, as the remote has it now and not as the clone remembers it."""

from __future__ import annotations

from pathlib import Path

from lineal.git.remote import branch_head
from lineal.git.repository import Repository
from tests import servers


def opened(repo: servers.Repository) -> Repository:
    return Repository.open(repo.path, repo.environment())


def test_the_head_is_that_of_the_remote_at_this_moment(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    clone = opened(repo.clone(tmp_path / "clone"))
    later = repo.write({"a": "2"})
    repo.branch("x/refs/heads/main")
    repo.write({"a": "3"})
    assert branch_head(clone, "main") == later
    assert branch_head(clone, "gone") is None


def test_without_a_remote_that_answers_there_is_none(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    assert branch_head(opened(repo), "main") is None
    clone = repo.clone(tmp_path / "clone")
    clone.git("remote", "set-url", "origin", f"file://{tmp_path}/nowhere")
    assert branch_head(opened(clone), "main") is None
