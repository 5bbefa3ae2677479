"""Whose commit a job checked out, where the CI does not say it: a comment, a dispatch, another HEAD."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lineal.ci.context import Context
from lineal.ci.provider import provider_of
from lineal.git.repository import Repository
from tests.unit.ci.forge import ENV, Forge, git

Environ = Callable[..., dict[str, str]]
BY_ANYBODY = ["issue_comment", "workflow_dispatch", "repository_dispatch", "discussion_comment", "label"]
BY_PROJECT = ["push", "schedule", "release"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fetched history goes."""
    monkeypatch.setitem(ENV, "HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def fork(template: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fork")
    git(folder, "clone", "--quiet", "--branch=main", str(template.bare), ".")
    for text in ("one", "two"):
        git(folder, "commit", "--quiet", "--allow-empty", "-m", text)
    return folder


@pytest.fixture
def stranger(forge: Forge, fork: Path) -> str:
    """The head of a fork's pull request, two commits on top of main; the first was its head before."""
    git(fork, "push", "--quiet", str(forge.bare), "HEAD:refs/pull/7/head")
    return git(fork, "rev-parse", "HEAD")


def context(github: Environ, clone: Repository, event: str, sha: str, **more: str) -> Context:
    """Of a run at main's commit that checked out this clone."""
    return provider_of({**github(event, sha, "refs/heads/main", "push"), **more}).context(clone)


@pytest.mark.parametrize("event", [*BY_ANYBODY, *BY_PROJECT, "workflow_run"])
def test_a_fork_s_head_is_a_fork_s_in_every_event(forge: Forge, github: Environ, stranger: str, event: str) -> None:
    del stranger
    found = context(github, forge.clone("refs/pull/7/head"), event, forge.main)
    assert (found.may_write, found.fork, found.own) == (False, True, False)
    if event != "workflow_run":  # there the payload says it
        assert "only refs/pull/7/head: it counts as a fork's." in found.notes[0]


@pytest.mark.parametrize("event", BY_ANYBODY)
def test_an_older_head_of_a_fork_is_nobody_s(forge: Forge, github: Environ, stranger: str, event: str) -> None:
    clone = forge.clone(git(forge.bare, "rev-parse", f"{stranger}^"))
    found = context(github, clone, event, forge.main)
    assert (found.may_write, found.own, found.unproven) == (False, False, True)
    assert (
        "It is not known whose commit HEAD is (no branch or tag of the project's remote holds it)" in found.notes[0]
    )
    assert "--allow publish" in found.notes[0]


def test_a_fork_s_merge_that_the_forge_made_is_a_fork_s(forge: Forge, github: Environ, stranger: str) -> None:
    git(forge.bare, "update-ref", "refs/pull/7/merge", merge_of(forge, stranger))
    found = context(github, forge.clone("refs/pull/7/merge"), "issue_comment", forge.main)
    assert (found.may_write, found.fork) == (False, True)


def merge_of(forge: Forge, other: str) -> str:
    tree = git(forge.bare, "rev-parse", f"{other}^{{tree}}")
    return git(forge.bare, "commit-tree", tree, "-p", forge.main, "-p", other, "-m", "Merge")


@pytest.mark.parametrize("event", [*BY_ANYBODY, *BY_PROJECT])
@pytest.mark.parametrize("rev", ["changes", "refs/pull/2/merge", "refs/tags/v1.9"])
def test_a_branch_a_tag_and_a_merge_of_the_project_are_its_own(
    forge: Forge, github: Environ, event: str, rev: str
) -> None:
    found = context(github, forge.clone(rev), event, forge.first)
    assert (found.may_write, found.own, found.fork) == (True, True, False)


def test_an_older_commit_of_a_branch_is_found_by_history(forge: Forge, github: Environ) -> None:
    """The clone has one commit; what leads from the branches to it has to be fetched."""
    found = context(github, forge.clone(forge.first), "workflow_dispatch", forge.changes)
    assert (found.may_write, found.own) == (True, True)


def test_a_commit_behind_the_ci_s_is_its_own_without_asking(forge: Forge, github: Environ) -> None:
    clone = forge.clone("main", depth=9)
    git(clone.root, "checkout", "--quiet", "--detach", forge.first)
    git(clone.root, "remote", "remove", "origin")
    found = context(github, Repository.open(clone.root, ENV), "issue_comment", forge.main)
    assert (found.may_write, found.own) == (True, True)


@pytest.mark.parametrize(
    ("event", "writes"), [*((one, False) for one in BY_ANYBODY), *((one, True) for one in BY_PROJECT)]
)
def test_a_commit_that_the_job_made_is_its_own_where_only_the_project_starts_it(
    forge: Forge, github: Environ, event: str, writes: bool
) -> None:
    clone = forge.clone("main", "main")
    git(clone.root, "commit", "--quiet", "--allow-empty", "-m", "Version 2")
    found = context(github, Repository.open(clone.root, ENV), event, forge.main)
    assert (found.may_write, found.own, found.unproven) == (writes, writes, not writes)


@pytest.mark.parametrize("remote", ["", "file:///nowhere", "https://127.0.0.1:1/codertocat/hello-world.git"])
def test_a_remote_that_says_nothing_leaves_it_unknown(forge: Forge, github: Environ, remote: str) -> None:
    clone = forge.clone("changes")
    git(clone.root, "remote", *(["set-url", "origin", remote] if remote else ["remove", "origin"]))
    found = context(github, clone, "issue_comment", forge.main)
    assert (found.may_write, found.own, found.unproven) == (False, False, True)
    assert not context(github, clone, "push", forge.main).unproven


@pytest.mark.parametrize(
    "remote",
    ["https://github.com/stranger/Hello-World", "git@github.com:stranger/hello-world.git",
     "https://github.com/xcodertocat/hello-world", "ssh://git@github.com/stranger/Hello-World.git"],
)  # fmt: skip
def test_another_repository_does_not_vouch_for_itself(forge: Forge, github: Environ, remote: str) -> None:
    """Its branches hold the commit, of course. What a project of its own checks out on purpose is still published."""
    clone = forge.clone("changes")
    git(clone.root, "remote", "set-url", "origin", remote)
    found = context(github, clone, "workflow_dispatch", forge.main)
    assert (found.may_write, found.own) == (False, False)
    assert "the clone is one of another repository" in found.notes[0]
    found = context(github, clone, "schedule", forge.main)
    assert (found.may_write, found.own) == (True, False)


def test_the_deployment_of_a_fork_s_commit_is_a_fork_s(forge: Forge, github: Environ, stranger: str) -> None:
    environ = {**github("deployment", stranger, "", "push"), "GITHUB_REF": ""}
    found = provider_of(environ).context(forge.clone("refs/pull/7/head"))
    assert (found.may_write, found.fork) == (False, True)


def test_a_pull_request_of_the_project_with_a_fork_s_head_checked_out(
    forge: Forge, github: Environ, stranger: str
) -> None:
    del stranger
    environ = github("pull_request_target", forge.main, "refs/heads/main", "pull_request")
    found = provider_of(environ).context(forge.clone("refs/pull/7/head"))
    assert (found.may_write, found.fork) == (False, True)


@pytest.mark.parametrize(("source", "writes"), [("push", True), ("web", False), ("api", False), ("trigger", False)])
def test_gitlab_s_jobs_are_asked_in_the_same_way(forge: Forge, stranger: str, source: str, writes: bool) -> None:
    git(forge.bare, "update-ref", "refs/merge-requests/7/head", stranger)
    git(forge.bare, "update-ref", "-d", "refs/pull/7/head")
    environ = {"GITLAB_CI": "true", "CI_COMMIT_SHA": forge.main, "CI_COMMIT_BRANCH": "main",
               "CI_PIPELINE_SOURCE": source, "CI_PROJECT_PATH": "a/b"}  # fmt: skip
    found = provider_of(environ).context(forge.clone("refs/merge-requests/7/head"))
    assert (found.may_write, found.fork) == (False, True)
    assert provider_of(environ).context(forge.clone("changes")).may_write
    older = forge.clone(git(forge.bare, "rev-parse", f"{stranger}^"))
    assert provider_of(environ).context(older).may_write == writes
