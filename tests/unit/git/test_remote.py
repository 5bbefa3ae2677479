"""What a clone's remote is: the head of a branch as it is now, and where people find it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.git.remote import branch_head, web_address
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


@pytest.mark.parametrize(
    "url, address",
    [
        ("https://github.com/acme/shop.git", "https://github.com/acme/shop"),
        ("https://x-access-token:secret@GitHub.com/acme/shop.git/", "https://github.com/acme/shop"),
        ("ssh://git@github.com:22/acme/shop.git", "https://github.com/acme/shop"),
        ("git@github.com:acme/shop.git", "https://github.com/acme/shop"),
        ("github.com:acme/shop.git", "https://github.com/acme/shop"),
        ("gh:acme/shop", "https://github.com/acme/shop"),
        ("https://example.com:8443/shop", "https://example.com:8443/shop"),
        ("http://a:b@c@github.com/acme/shop", "https://github.com/acme/shop"),
        ("work:acme/shop", None),
        ("/srv/git/shop.git", None),
        ("file:///srv/git/shop.git", None),
    ],
)
def test_people_find_it_at_one_address_whatever_the_machine_has_set(
    repo: servers.Repository, url: str, address: str | None
) -> None:
    """Finished images name it: another address is another digest."""
    repo.write({"a": "1"})
    repo.git("remote", "add", "origin", url)
    repo.git("config", "url.https://github.com/.insteadOf", "gh:")
    repo.git("config", "url.https://mirror.example.com/.insteadOf", "https://github.com/acme/")
    assert web_address(opened(repo)) == address
