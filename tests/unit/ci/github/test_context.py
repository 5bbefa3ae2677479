from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.ci.provider import provider_of
from lineal.errors import BadConfiguration
from tests.unit.ci.forge import Forge, git

Environ = Callable[..., dict[str, str]]
FORK = {"full_name": "somebody/Hello-World", "fork": True}
ZEROS = "0" * 40


def test_a_push_to_a_branch(forge: Forge, github: Environ) -> None:
    environ = github("push", forge.main, "refs/heads/main")
    context = provider_of(environ).context(forge.clone("main", "main"))
    assert (context.provider, context.event, context.commit) == ("github", "push", forge.main)
    assert (context.branch, context.tag, context.parents) == ("main", None, ())
    assert context.may_write and not context.fork and context.notes == ()
    assert context.repository == "Codertocat/Hello-World"
    assert context.default_store == "ghcr.io/codertocat/hello-world"
    assert context.default_branch == "master"
    assert context.sources["branch"] == "GITHUB_REF"


def test_a_pushed_annotated_tag_is_peeled_to_its_commit(forge: Forge, github: Environ) -> None:
    clone = forge.clone("refs/tags/v1.9:refs/tags/v1.9", depth=1)
    git(clone.root, "checkout", "--quiet", "--detach", "v1.9")
    context = provider_of(github("push", forge.tag_object, "refs/tags/v1.9", "push_tag")).context(clone)
    assert forge.tag_object != forge.main
    assert (context.event, context.commit, context.tag, context.branch) == ("tag", forge.main, "v1.9", None)
    assert context.notes == ()


def test_a_pushed_tag_whose_object_is_not_in_the_clone_is_not_claimed(forge: Forge, github: Environ) -> None:
    context = provider_of(github("push", forge.tag_object, "refs/tags/v1.9", "push_tag")).context(forge.clone("main"))
    assert (context.commit, context.tag) == (forge.main, None)
    assert "HEAD is built" in context.notes[0]


def test_a_pull_request_s_merge_ref_is_recorded_by_its_real_parents_in_a_depth_1_clone(
    forge: Forge, github: Environ
) -> None:
    clone = forge.clone("refs/pull/2/merge")
    assert clone.shallow
    assert git(clone.root, "log", "-1", "--format=%P") == "", "git itself shows no parents here"
    environ = github("pull_request", forge.merge, "refs/pull/2/merge", pull_request__head__sha=forge.changes)
    context = provider_of(environ).context(clone)
    assert context.commit == forge.merge
    assert context.parents == (forge.main, forge.changes)
    assert (context.event, context.pull_request) == ("pull_request", 2)
    assert (context.branch, context.base_branch) == ("changes", "master")
    assert context.may_write and context.notes == ()


def test_a_pull_request_checked_out_at_its_own_head_has_no_parents(forge: Forge, github: Environ) -> None:
    environ = github("pull_request", forge.merge, "refs/pull/2/merge", pull_request__head__sha=forge.changes)
    context = provider_of(environ).context(forge.clone("changes"))
    assert (context.commit, context.parents, context.branch) == (forge.changes, (), "changes")
    assert "own head" in context.notes[0]


def test_another_merge_commit_than_the_run_s_keeps_its_own_name(forge: Forge, github: Environ) -> None:
    environ = github("pull_request", forge.first, "refs/pull/2/merge", pull_request__head__sha=forge.changes)
    context = provider_of(environ).context(forge.clone("refs/pull/2/merge"))
    assert (context.commit, context.parents, context.branch) == (forge.merge, (), None)
    assert forge.first[:12] in context.notes[0]


def test_a_merged_pull_request_s_last_run_is_on_the_base_branch(forge: Forge, github: Environ) -> None:
    environ = github("pull_request", forge.merge, "refs/heads/main", pull_request__merged=True)
    context = provider_of(environ).context(forge.clone(forge.merge))
    assert (context.commit, context.parents, context.branch) == (forge.merge, (), "main")


@pytest.mark.parametrize("repo", [FORK, None], ids=["a fork", "a fork deleted meanwhile"])
def test_a_fork_s_pull_request_may_not_write_and_gives_no_branch(forge: Forge, github: Environ, repo: Any) -> None:
    environ = github(
        "pull_request",
        forge.merge,
        "refs/pull/2/merge",
        pull_request__head={"ref": "main", "sha": forge.changes, "repo": repo},
    )
    context = provider_of({**environ, "GITHUB_HEAD_REF": "main"}).context(forge.clone("refs/pull/2/merge"))
    assert context.fork and not context.may_write
    assert context.branch is None
    assert context.parents == (forge.main, forge.changes)
    assert "nothing is published" in " ".join(context.notes)


def test_the_repository_s_own_name_in_other_letters_is_no_fork(forge: Forge, github: Environ) -> None:
    environ = github("pull_request", forge.merge, "refs/pull/2/merge")
    context = provider_of({**environ, "GITHUB_REPOSITORY": "codertocat/hello-world"}).context(
        forge.clone("refs/pull/2/merge")
    )
    assert context.may_write


def test_pull_request_target_builds_the_base_branch(forge: Forge, github: Environ) -> None:
    environ = github("pull_request_target", forge.main, "refs/heads/main", "pull_request")
    context = provider_of(environ).context(forge.clone("main", "main"))
    assert (context.commit, context.branch, context.pull_request) == (forge.main, "main", 2)
    assert context.may_write


def test_pull_request_target_with_a_fork_s_code_checked_out_may_not_write(forge: Forge, github: Environ) -> None:
    head = {"ref": "main", "sha": forge.changes, "repo": FORK}
    environ = github("pull_request_target", forge.main, "refs/heads/main", "pull_request", pull_request__head=head)
    context = provider_of(environ).context(forge.clone("changes", "main"))
    assert (context.commit, context.branch, context.may_write) == (forge.changes, None, False)


def test_pull_request_target_with_the_merge_ref_checked_out_has_no_parents(forge: Forge, github: Environ) -> None:
    environ = github("pull_request_target", forge.main, "refs/heads/main", "pull_request")
    assert provider_of(environ).context(forge.clone("refs/pull/2/merge")).parents == ()


@pytest.mark.parametrize("event", ["merge_group", "push"])
def test_a_merge_queue_s_branch_is_no_branch(forge: Forge, github: Environ, event: str) -> None:
    ref = f"refs/heads/gh-readonly-queue/main/pr-2-{forge.main}"
    context = provider_of(github(event, forge.merge, ref)).context(forge.clone(ref, ref.removeprefix("refs/heads/")))
    assert (context.event, context.branch, context.base_branch) == (event, None, "main")
    assert (context.commit, context.parents) == (forge.merge, ())
    if event == "merge_group":
        assert context.merge_base == "380387fbc80638b734a49e1be1c4dfec1c01b33c"


def test_a_queue_into_a_branch_with_slashes(forge: Forge, github: Environ) -> None:
    ref = f"refs/heads/gh-readonly-queue/release/1.0/pr-2-{forge.main}"
    context = provider_of(github("push", forge.main, ref)).context(forge.clone("main"))
    assert context.base_branch == "release/1.0"


@pytest.mark.parametrize("event", ["workflow_dispatch", "repository_dispatch", "schedule", "deployment"])
def test_other_events_take_the_branch_from_the_ref(forge: Forge, github: Environ, event: str) -> None:
    golden = event if event.endswith("dispatch") else "push"
    context = provider_of(github(event, forge.main, "refs/heads/main", golden)).context(forge.clone("main"))
    assert (context.event, context.branch, context.commit) == (event, "main", forge.main)


def test_a_release_takes_the_tag(forge: Forge, github: Environ) -> None:
    context = provider_of(github("release", forge.main, "refs/tags/v1.10")).context(forge.clone("main"))
    assert (context.event, context.tag, context.branch) == ("release", "v1.10", None)


def test_a_release_without_a_ref_takes_the_tag_of_the_payload(forge: Forge, github: Environ) -> None:
    context = provider_of(github("release", forge.main, "")).context(forge.clone("main"))
    assert (context.tag, context.sources["tag"]) == ("0.0.1", "payload release.tag_name")


def test_a_workflow_run_on_the_default_branch(forge: Forge, github: Environ) -> None:
    environ = github("workflow_run", forge.main, "refs/heads/main", workflow_run__head_repository=FORK)
    context = provider_of(environ).context(forge.clone("main"))
    assert (context.event, context.branch, context.may_write) == ("workflow_run", "main", True)


def test_a_workflow_run_with_the_triggering_head_checked_out(forge: Forge, github: Environ) -> None:
    own = {"full_name": "Codertocat/Hello-World"}
    environ = github(
        "workflow_run",
        forge.main,
        "refs/heads/main",
        workflow_run__head_sha=forge.changes,
        workflow_run__head_branch="changes",
        workflow_run__head_repository=own,
    )
    context = provider_of(environ).context(forge.clone("changes"))
    assert (context.commit, context.branch, context.may_write) == (forge.changes, "changes", True)


def test_a_workflow_run_with_a_fork_s_code_checked_out_may_not_write(forge: Forge, github: Environ) -> None:
    environ = github("workflow_run", forge.main, "refs/heads/main", workflow_run__head_repository=FORK)
    context = provider_of(environ).context(forge.clone("refs/pull/2/merge"))
    assert (context.branch, context.fork, context.may_write) == (None, True, False)


def test_head_wins_over_the_ci_s_commit(forge: Forge, github: Environ) -> None:
    """A release job commits on `main` before it builds; another job checks out another branch altogether."""
    context = provider_of(github("push", forge.first, "refs/heads/main")).context(forge.clone("main", "main"))
    assert (context.commit, context.branch, context.sources["branch"]) == (forge.main, "main", "git branch")
    assert forge.first[:12] in context.notes[0] and "HEAD is built" in context.notes[0]
    context = provider_of(github("push", forge.first, "refs/heads/main")).context(forge.clone("changes", "changes"))
    assert (context.commit, context.branch) == (forge.changes, "changes")


def test_a_moved_head_keeps_the_tag_only_where_git_has_it(forge: Forge, github: Environ) -> None:
    clone = forge.clone("main")
    git(clone.root, "tag", "v2", "HEAD")
    assert provider_of(github("push", forge.first, "refs/tags/v2", "push_tag")).context(clone).tag == "v2"
    assert provider_of(github("push", forge.first, "refs/tags/v3", "push_tag")).context(clone).tag is None


def test_an_enterprise_server_has_its_own_registry(forge: Forge, github: Environ) -> None:
    environ = {**github("push", forge.main, "refs/heads/main"), "GITHUB_SERVER_URL": "https://git.Example.com:8443"}
    assert (
        provider_of(environ).context(forge.clone("main")).default_store
        == "containers.git.example.com/codertocat/hello-world"
    )


def test_no_payload_is_said_and_a_pull_request_then_may_not_write(forge: Forge, github: Environ) -> None:
    environ = github("pull_request", forge.merge, "refs/pull/2/merge")
    environ.update(GITHUB_EVENT_PATH="/nowhere", GITHUB_BASE_REF="main", GITHUB_HEAD_REF="main")
    context = provider_of(environ).context(forge.clone("refs/pull/2/merge"))
    assert "no event payload" in context.notes[0]
    assert (context.pull_request, context.base_branch) == (2, "main")
    assert (context.branch, context.may_write) == (None, False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "not a JSON object"),
        (b" " * (33 << 20), "larger than 32 MiB"),
    ],
    ids=["cut off", "binary", "deep", "a list", "large"],
)
def test_a_broken_payload_is_one_sentence(
    forge: Forge, github: Environ, tmp_path: Path, content: bytes, words: str
) -> None:
    environ = github("push", forge.main, "refs/heads/main")
    Path(environ["GITHUB_EVENT_PATH"]).write_bytes(content)
    with pytest.raises(BadConfiguration, match=words) as caught:
        provider_of(environ).context(forge.clone("main"))
    assert environ["GITHUB_EVENT_PATH"] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("pull_request__head__sha", "../../etc/passwd", "pull_request.head.sha"),
        ("pull_request__head__sha", "abc1234", "pull_request.head.sha"),
        ("pull_request__head__sha", 17, "pull_request.head.sha"),
        ("pull_request__head__sha", "a" * 40 + "\n", "pull_request.head.sha"),
        ("pull_request__head__ref", "x\n::set-env name=PATH::/evil", "pull_request.head.ref"),
        ("pull_request__head__ref", "x\x1b[2J", "pull_request.head.ref"),
        ("pull_request__head__ref", "x\u2028y", "pull_request.head.ref"),
        ("pull_request__head__ref", {"a": 1}, "pull_request.head.ref"),
        ("pull_request__head__ref", "x" * 5000, "pull_request.head.ref"),
        ("pull_request__base__ref", "a\rb", "pull_request.base.ref"),
        ("pull_request__number", -1, "pull_request.number"),
        ("pull_request__number", True, "pull_request.number"),
        ("pull_request__number", "2; rm -rf /", "pull_request.number"),
    ],
)
def test_a_hostile_payload_value_is_refused_and_shown_harmlessly(
    forge: Forge, github: Environ, path: str, value: object, word: str
) -> None:
    environ = github("pull_request", forge.merge, "refs/pull/2/merge", **{path: value})
    with pytest.raises(BadConfiguration, match=word) as caught:
        provider_of(environ).context(forge.clone("refs/pull/2/merge"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_SHA", "HEAD"),
        ("GITHUB_REF", "refs/heads/x\x07"),
        ("GITHUB_REPOSITORY", "a/b c"),
        ("GITHUB_REPOSITORY", "alone"),
        ("GITHUB_SERVER_URL", "https://[broken"),
        ("GITHUB_SERVER_URL", "https://a b/"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(forge: Forge, github: Environ, name: str, value: str) -> None:
    environ = {**github("push", forge.main, "refs/heads/main"), name: value}
    with pytest.raises(BadConfiguration, match=name):
        provider_of(environ).context(forge.clone("main"))


def test_payload_parts_of_another_shape_count_as_absent(forge: Forge, github: Environ) -> None:
    environ = github("pull_request", forge.merge, "refs/pull/2/merge", pull_request=[1, 2])
    context = provider_of(environ).context(forge.clone("refs/pull/2/merge"))
    assert (context.pull_request, context.may_write) == (2, False)


def test_an_all_zero_id_means_no_commit(forge: Forge, github: Environ) -> None:
    context = provider_of(github("push", ZEROS, "refs/heads/main")).context(forge.clone("main"))
    assert (context.commit, context.branch, context.notes) == (forge.main, "main", ())
