from __future__ import annotations

import pytest

from lineal.ci.provider import provider_of
from lineal.git.repository import Repository
from tests.unit.ci.forge import Forge, git


def test_a_plain_clone_is_its_branch(forge: Forge) -> None:
    context = provider_of({}).context(forge.clone("changes", "changes", depth=100))
    assert (context.provider, context.event, context.commit) == ("local", "none", forge.changes)
    assert (context.branch, context.tag, context.default_store, context.notes) == ("changes", None, None, ())
    assert context.may_write and context.sources["branch"] == "git branch"


def test_a_detached_head_has_no_branch(forge: Forge) -> None:
    assert provider_of({}).context(forge.clone("main")).branch is None


def test_of_several_tags_the_highest_version_is_used_and_said(forge: Forge) -> None:
    clone = forge.clone("main", "main")
    git(clone.root, "fetch", "--quiet", "origin", "refs/tags/*:refs/tags/*")
    context = provider_of({}).context(clone)
    assert context.tag == "v1.10"
    assert "2 tags" in context.notes[0] and "v1.10" in context.notes[0]


def test_a_merge_in_a_plain_clone_is_real_history(forge: Forge) -> None:
    assert provider_of({}).context(forge.clone("refs/pull/2/merge")).parents == ()


def test_other_cis_variables_do_not_count(forge: Forge) -> None:
    environ = {"CI": "true", "GITHUB_SHA": "x", "CI_COMMIT_SHA": "y", "GITHUB_ACTIONS": "false"}
    assert provider_of(environ).context(forge.clone("main")).provider == "local"


def test_a_sha256_repository(forge: Forge) -> None:
    folder = forge.work / "sha256"
    folder.mkdir()
    git(folder, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "one")
    assert len(provider_of({}).context(Repository.open(folder)).commit) == 64


def test_the_default_branch_is_the_remote_s_else_a_usual_name(forge: Forge) -> None:
    clone = forge.clone("changes", "changes")
    assert provider_of({}).context(clone).default_branch is None
    git(clone.root, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/release/1")
    assert provider_of({}).context(clone).default_branch == "release/1"
    assert provider_of({}).context(forge.clone("main", "main")).default_branch == "main"


@pytest.mark.parametrize(
    ("environ", "fork"),
    [
        ({"CI": "true", "CHANGE_FORK": "somebody"}, True),
        ({"TF_BUILD": "True", "SYSTEM_PULLREQUEST_ISFORK": "True"}, True),
        ({"CI": "true", "CIRCLE_PR_USERNAME": "somebody"}, True),
        ({"TF_BUILD": "True", "SYSTEM_PULLREQUEST_ISFORK": "False", "CHANGE_FORK": ""}, False),
    ],
)
def test_a_fork_is_one_where_another_ci_says_so(forge: Forge, environ: dict[str, str], fork: bool) -> None:
    context = provider_of(environ).context(forge.clone("main"))
    assert (context.fork, context.may_write, context.trusted) == (fork, not fork, not fork)
