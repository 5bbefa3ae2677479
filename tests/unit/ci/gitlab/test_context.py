from __future__ import annotations

import pytest

from lineal.ci.context import Context
from lineal.ci.provider import provider_of
from lineal.errors import BadConfiguration
from tests.unit.ci.forge import Forge, git

PARENT = "Group/sub/shop"
FORK = "somebody/shop"


def job(sha: str, **variables: str) -> dict[str, str]:
    return {
        "GITLAB_CI": "true",
        "CI_COMMIT_SHA": sha,
        "CI_PIPELINE_SOURCE": "push",
        "CI_PROJECT_PATH": PARENT,
        "CI_REGISTRY_IMAGE": "registry.example.com:5050/group/sub/shop",
        **variables,
    }


def merge_request(sha: str, kind: str, base: str = "", **variables: str) -> dict[str, str]:
    given = {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_EVENT_TYPE": kind,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "changes",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": PARENT,
        "CI_MERGE_REQUEST_PROJECT_PATH": PARENT,
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
        **variables,
    }
    return job(sha, **given)


def names(context: Context) -> tuple[str | None, str | None]:
    return context.branch, context.tag


def test_a_branch_pipeline(forge: Forge) -> None:
    context = provider_of(job(forge.main, CI_COMMIT_BRANCH="main")).context(forge.clone("main"))
    assert (context.provider, context.event, context.commit) == ("gitlab", "push", forge.main)
    assert names(context) == ("main", None)
    assert context.default_store == "registry.example.com:5050/group/sub/shop"
    assert (context.repository, context.may_write, context.notes) == (PARENT, True, ())


def test_the_default_branch_is_the_project_s(forge: Forge) -> None:
    context = provider_of(job(forge.main, CI_DEFAULT_BRANCH="trunk")).context(forge.clone("main"))
    assert context.default_branch == "trunk"


def test_a_tag_pipeline(forge: Forge) -> None:
    context = provider_of(job(forge.main, CI_COMMIT_TAG="v1.10")).context(forge.clone("main"))
    assert (context.event, *names(context)) == ("tag", None, "v1.10")


def test_an_annotated_tag_s_object_is_peeled(forge: Forge) -> None:
    clone = forge.clone("refs/tags/v1.9:refs/tags/v1.9")
    git(clone.root, "checkout", "--quiet", "--detach", "v1.9")
    context = provider_of(job(forge.tag_object, CI_COMMIT_TAG="v1.9")).context(clone)
    assert (context.commit, context.tag, context.notes) == (forge.main, "v1.9", ())


@pytest.mark.parametrize("source", ["schedule", "web", "api", "parent_pipeline"])
def test_other_pipelines_keep_their_source(forge: Forge, source: str) -> None:
    environ = job(forge.main, CI_COMMIT_BRANCH="main", CI_PIPELINE_SOURCE=source)
    assert provider_of(environ).context(forge.clone("main")).event == source


def test_a_detached_merge_request_pipeline_builds_the_branch(forge: Forge) -> None:
    context = provider_of(merge_request(forge.changes, "detached", forge.first)).context(forge.clone("changes"))
    assert (context.event, context.pull_request, context.commit) == ("merge_request", 7, forge.changes)
    assert (context.branch, context.base_branch, context.merge_base) == ("changes", "main", forge.first)
    assert context.parents == () and context.may_write and not context.fork


@pytest.mark.parametrize("kind", ["merged_result", "merge_train"])
def test_a_merged_result_is_recorded_by_its_real_parents_in_a_shallow_clone(forge: Forge, kind: str) -> None:
    clone = forge.clone("refs/pull/2/merge")
    assert clone.shallow
    context = provider_of(merge_request(forge.merge, kind)).context(clone)
    assert (context.event, context.commit) == (kind, forge.merge)
    assert context.parents == (forge.main, forge.changes)
    assert context.branch == "changes"


def test_a_fast_forward_train_s_commit_stands_for_itself(forge: Forge) -> None:
    assert provider_of(merge_request(forge.changes, "merge_train")).context(forge.clone("changes")).parents == ()


def test_a_merged_result_that_is_not_checked_out_gives_no_parents(forge: Forge) -> None:
    context = provider_of(merge_request(forge.first, "merged_result", forge.first)).context(
        forge.clone("refs/pull/2/merge")
    )
    assert (context.commit, context.parents, context.merge_base, context.branch) == (forge.merge, (), None, None)
    assert "HEAD is built" in context.notes[0]


def test_a_fork_s_own_pipeline_writes_to_the_fork_s_registry(forge: Forge) -> None:
    environ = merge_request(
        forge.changes, "detached", CI_MERGE_REQUEST_SOURCE_PROJECT_PATH=FORK, CI_PROJECT_PATH=FORK
    )
    context = provider_of(environ).context(forge.clone("changes"))
    assert context.fork and context.may_write and context.branch == "changes"


@pytest.mark.parametrize("source", [FORK, ""], ids=["a fork", "a fork deleted meanwhile"])
def test_a_fork_s_code_in_the_parent_s_pipeline_may_not_write(forge: Forge, source: str) -> None:
    environ = merge_request(
        forge.changes,
        "detached",
        CI_MERGE_REQUEST_SOURCE_PROJECT_PATH=source,
        CI_MERGE_REQUEST_SOURCE_BRANCH_NAME="main",
    )
    context = provider_of(environ).context(forge.clone("changes"))
    assert context.fork and not context.may_write and context.branch is None
    assert "nothing is published" in context.notes[0]


def test_head_wins_over_the_ci_s_commit(forge: Forge) -> None:
    clone = forge.clone("changes", "changes")
    git(clone.root, "tag", "v2", "HEAD")
    context = provider_of(job(forge.main, CI_COMMIT_BRANCH="main")).context(clone)
    assert (context.commit, context.branch) == (forge.changes, "changes")
    assert provider_of(job(forge.main, CI_COMMIT_TAG="v2")).context(clone).tag == "v2"
    assert provider_of(job(forge.main, CI_COMMIT_TAG="v3")).context(clone).tag is None


def test_a_project_without_a_registry_is_said(forge: Forge) -> None:
    context = provider_of(job(forge.main, CI_REGISTRY_IMAGE="")).context(forge.clone("main"))
    assert context.default_store is None and "CI_REGISTRY_IMAGE" in context.notes[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CI_COMMIT_SHA", "main"),
        ("CI_COMMIT_BRANCH", "x\ny"),
        ("CI_COMMIT_TAG", "x\x1b[0K"),
        ("CI_PROJECT_PATH", "a b/c"),
        ("CI_REGISTRY_IMAGE", "-o evil"),
        ("CI_MERGE_REQUEST_IID", "x"),
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "HEAD~1"),
        ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "a\rb"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(forge: Forge, name: str, value: str) -> None:
    wanted = merge_request if name.startswith("CI_MERGE") else job
    environ = {**(wanted(forge.main, "detached") if wanted is merge_request else job(forge.main)), name: value}
    with pytest.raises(BadConfiguration, match=name) as caught:
        provider_of(environ).context(forge.clone("main"))
    assert str(caught.value).isprintable()
