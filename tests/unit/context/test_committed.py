"""Files that a run needs from the commit: their text, and the errors for those that are not there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lineal.context.committed import absent, committed_text
from lineal.errors import BadConfiguration, Location, Uncommitted
from lineal.git.commit import Commit
from tests import servers


def head(repo: servers.Repository, files: Mapping[str, str | bytes]) -> Commit:
    repo.write(files)
    return Commit.open(repo.path, repo.environment())


def test_the_text_of_a_file_has_no_byte_order_mark(repo: servers.Repository) -> None:
    commit = head(repo, {"a": "\ufeffé\n", "d/b": "b"})
    assert [committed_text(commit, path) for path in ("a", "d/b", "d", "none")] == ["é\n", "b", None, None]


def test_a_file_that_is_no_text_is_refused_by_its_name(repo: servers.Repository) -> None:
    commit = head(repo, {"d/a": b"\xff\xfe"})
    with pytest.raises(BadConfiguration) as refused:
        committed_text(commit, "d/a")
    assert refused.value.words == "d/a: is not UTF-8 text. Save it as UTF-8."


@pytest.mark.parametrize("folder", [False, True])
def test_the_working_tree_may_have_what_the_commit_lacks(repo: servers.Repository, folder: bool) -> None:
    commit = head(repo, {})
    repo.put({"new/Chart.yaml": "x"})
    there, other = ("new", "new/Chart.yaml") if folder else ("new/Chart.yaml", "new")
    error = absent(commit, there, "The file", remedy="Write it.", place=Location("lineal.yaml", 3), folder=folder)
    assert isinstance(error, Uncommitted)
    assert error.words == (
        "lineal.yaml:3: The file is in the working tree, but not in the commit. "
        "Run `git add` and `git commit` first, or build the working tree with --dev."
    )
    for path in (other, "none"):
        error = absent(commit, path, "The file", remedy="Write it.", folder=folder)
        assert isinstance(error, BadConfiguration)
        assert error.words == "The file does not exist in the commit. Write it."
