"""Directories of git as they are kept."""

from __future__ import annotations

import pytest

from lineal.git.command import GitFailed
from lineal.git.objects import entries_of
from tests import servers
from tests.unit.git.modules import opened

OID = bytes(range(20))


def test_a_mode_may_begin_with_a_zero() -> None:
    """Some tools write it so; git only warns of it."""
    assert entries_of(b"040000 docker\0" + OID, 20) == {b"docker": ("40000", OID.hex())}


@pytest.mark.parametrize("cut", [1, 5, 12, 20, 31])
def test_a_directory_that_is_cut_off_is_a_sentence(cut: int) -> None:
    with pytest.raises(GitFailed, match="cut off"):
        entries_of((b"100644 file\0" + OID)[:-cut], 20)


@pytest.mark.parametrize("path", ["", "/", "a/", "a//b", "./a/b", "a/../a/b", "a/b/c", "b", "a\0b", "A/b"])
def test_a_path_is_found_as_it_is_written_or_not_at_all(repo: servers.Repository, path: str) -> None:
    repo.write({"a/b": "text", "link": "x"})
    here = opened(repo)
    assert here.file(path) is None
    assert here.file("a/b") == b"text"
