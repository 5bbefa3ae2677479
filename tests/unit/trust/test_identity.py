"""Whether a policy accepts a pipeline: its issuer, project, workflow and ref, and what is merged."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from lineal.trust.identity import Identity, Run, matches, may_sign, of_token, why_not
from lineal.trust.policy import IdentitySigner
from tests.unit.trust.sigstore_pki import PIPELINE

COMMIT, MAIN, ANY = PIPELINE.commit, ("refs/heads/main",), ()
BUILD = "acme/ci/.github/workflows/build.yml"
SHARED = replace(
    PIPELINE, ref="refs/pull/5/merge", trigger="pull_request", commit="f" * 40,
    workflow=f"https://github.com/{BUILD}@refs/heads/main",
)  # fmt: skip
BRANCH = replace(PIPELINE, ref="refs/heads/feature", commit="b" * 40,
                 workflow="https://github.com/acme/shop/.github/workflows/ci.yml@refs/heads/feature")  # fmt: skip
GITLAB = Identity("https://gitlab.com", "https://gitlab.com/acme/shop", "refs/heads/main", COMMIT,
                  "https://gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main", "push")  # fmt: skip


def github(refs: tuple[str, ...] = MAIN, workflow: str | None = None, project: str = "acme/shop") -> IdentitySigner:
    return IdentitySigner("github", project, refs, workflow)


def gitlab(refs: tuple[str, ...] = MAIN, workflow: str | None = None, project: str = "acme/shop") -> IdentitySigner:
    return IdentitySigner("gitlab", project, refs, workflow)


def reason(
    signer: IdentitySigner, found: Identity, said: tuple[str, ...] = (COMMIT,), request: int | None = None, *,
    merged: bool = False, own: int | None = None, history: tuple[str, ...] = (COMMIT,),
) -> str:  # fmt: skip
    return why_not(signer, found, said, request, Run(merged, own, "", lambda commit: commit in history))


@pytest.mark.parametrize(
    ("signer", "found"),
    [
        (github(), PIPELINE),
        (github(ANY), BRANCH),
        (github(("refs/tags/*", "refs/heads/*")), BRANCH),
        (github(workflow=".github/workflows/ci.yml"), PIPELINE),
        (github(workflow=".github/workflows/ci.yml@refs/heads/main"), PIPELINE),
        (github(workflow=BUILD), replace(SHARED, ref="refs/heads/main")),
        (gitlab(), GITLAB),
        (gitlab(workflow=".gitlab-ci.yml"), GITLAB),
        (gitlab(workflow="acme/ci//build.yml@refs/tags/v1"),
         replace(GITLAB, workflow="https://gitlab.com/acme/ci//build.yml@refs/tags/v1")),
        (github(project="https://ghe.example.com/acme/shop"),
         replace(PIPELINE, issuer="https://ghe.example.com/_services/token",
                 repository="https://ghe.example.com/acme/shop")),
        (gitlab(project="https://git.example.com/a/b/c"),
         replace(GITLAB, issuer="https://git.example.com", repository="https://git.example.com/a/b/c")),
    ],
)  # fmt: skip
def test_a_pipeline_that_the_policy_names_is_accepted(signer: IdentitySigner, found: Identity) -> None:
    assert reason(signer, found) == ""


@pytest.mark.parametrize(
    ("signer", "found", "why"),
    [
        (github(), replace(PIPELINE, issuer="https://gitlab.com"), "another project"),
        (github(), replace(PIPELINE, issuer=PIPELINE.issuer + "/"), "another project"),
        (github(), replace(PIPELINE, repository="https://github.com/acme/shop2"), "another project"),
        (github(), replace(PIPELINE, repository="https://github.com/evil/shop"), "another project"),
        (github(project="https://ghe.example.com/acme/shop"), PIPELINE, "another project"),
        (gitlab(), replace(GITLAB, issuer="https://git.example.com"), "another project"),
        (gitlab(), PIPELINE, "another project"),
        (github(workflow=".github/workflows/release.yml"), PIPELINE, "another workflow"),
        (github(workflow=".github/workflows/ci.yml@refs/tags/*"), PIPELINE, "another workflow"),
        # A file of the same name in somebody else's repository, called by a branch of the project.
        (github(ANY, ".github/workflows/build.yml"), replace(SHARED, ref="refs/heads/main"), "another workflow"),
        (github(ANY, BUILD), replace(SHARED, workflow=f"https://github.com/evil/{BUILD}@refs/heads/main"),
         "another workflow"),
        (github(), BRANCH, "another ref"),
        (github(("refs/heads/*",)), replace(PIPELINE, ref="refs/heads/a/b"), "another ref"),
        (github(ANY), replace(PIPELINE, trigger="pull_request_target"), "pull_request_target"),
        (github(ANY), replace(BRANCH, ref="refs/pull/5/merge"), "pull request 5"),
    ],
)  # fmt: skip
def test_any_other_pipeline_is_not(signer: IdentitySigner, found: Identity, why: str) -> None:
    assert why in reason(signer, found)


def test_a_pull_request_is_believed_in_its_own_pipeline_only() -> None:
    found = replace(BRANCH, ref="refs/pull/5/merge")
    assert reason(github(), found, own=5) == ""
    assert reason(github(ANY), found, own=6) == "signed for pull request 5"
    # What a statement says of itself helps nobody else.
    assert reason(github(ANY), found, request=6, own=6) == "signed for pull request 5"


@pytest.mark.parametrize("trigger", ["merge_request_event", "external_pull_request_event", "parent_pipeline"])
def test_a_merge_request_of_gitlab_is_no_branch_whatever_its_ref_is_called(trigger: str) -> None:
    """A fork's branch `main`, whose pipeline somebody runs in the project: its certificate says refs/heads/main."""
    fork = replace(GITLAB, commit="f" * 40, trigger=trigger)
    fixed = gitlab(workflow=".gitlab-ci.yml@refs/heads/main")
    for signer in (gitlab(), gitlab(ANY), fixed):
        assert reason(signer, fork) == "signed for a merge request"
        assert "not in this history" in reason(signer, fork, merged=True)
        assert reason(signer, fork, (fork.commit,), 5, own=5)
        # In its own run, and once it is merged.
        history = (COMMIT, fork.commit)
        assert reason(signer, fork, (fork.commit,), 5, own=5, history=history) == ""
        assert reason(signer, fork, (fork.commit,), merged=True, history=history) == ""


def test_a_branch_counts_once_the_very_commit_that_its_certificate_names_is_merged() -> None:
    history = (COMMIT, BRANCH.commit)
    assert reason(github(), BRANCH, (BRANCH.commit,), merged=True, history=history) == ""
    assert reason(github(), BRANCH, (BRANCH.commit,), merged=False, history=history) == "signed for another ref"
    assert "not in this history" in reason(github(), BRANCH, (BRANCH.commit,), merged=True)
    # It calls itself of main's commit, and its certificate says otherwise.
    assert "not in this history" in reason(github(), BRANCH, (COMMIT,), merged=True)
    assert "not in this history" in reason(github(), BRANCH, (COMMIT,), merged=True, history=history)


@pytest.mark.parametrize(
    ("workflow", "trusted"),
    [(f"{BUILD}@refs/heads/main", True), (BUILD, False), (f"{BUILD}@refs/heads/*", False), (None, False)],
)
def test_a_workflow_that_no_branch_can_change_is_believed_of_a_pull_request(
    workflow: str | None, trusted: bool
) -> None:
    """The merge that a pull request's pipeline builds is in no history."""
    why = reason(github(workflow=workflow), SHARED, ("a" * 40, "b" * 40), 5, merged=True)
    assert (why == "") == trusted
    assert reason(github(workflow=workflow), SHARED, ("a" * 40, "b" * 40), 5, merged=False)
    assert may_sign(github(workflow=workflow), SHARED, 5, merged=True)


def test_a_run_knows_whether_anybody_would_believe_it() -> None:
    assert may_sign(github(), PIPELINE, None, merged=False)
    assert not may_sign(github(), BRANCH, None, merged=False)
    assert may_sign(github(), BRANCH, None, merged=True)


@pytest.mark.parametrize(
    ("pattern", "ref", "found"),
    [
        ("refs/heads/main", "refs/heads/main", True), ("refs/heads/main", "refs/heads/main2", False),
        ("refs/tags/*", "refs/tags/1.0", True), ("refs/tags/*", "refs/tags/a/b", False),
        ("refs/**", "refs/tags/a/b", True), ("refs/heads/v?", "refs/heads/v1", False),
        ("refs/heads/a.b", "refs/heads/axb", False), ("refs/heads/*/x", "refs/heads/a/x", True),
    ],
)  # fmt: skip
def test_patterns_of_refs(pattern: str, ref: str, found: bool) -> None:
    assert matches(pattern, ref) == found


def jwt(claims: object) -> str:
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


def test_a_token_says_what_the_certificate_will_say() -> None:
    workflow = PIPELINE.workflow.removeprefix("https://github.com/")
    claims = {"iss": PIPELINE.issuer, "repository": "acme/shop", "ref": PIPELINE.ref, "sha": COMMIT,
              "event_name": "push", "job_workflow_ref": workflow}  # fmt: skip
    assert of_token(jwt(claims)) == PIPELINE
    own = of_token(jwt({**claims, "iss": "https://ghe.example.com/_services/token"}))
    assert own.repository == "https://ghe.example.com/acme/shop"
    claims = {"iss": "https://gitlab.com", "project_path": "acme/shop", "ref": "main", "ref_type": "branch",
              "sha": COMMIT, "ci_config_ref_uri": "gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main",
              "pipeline_source": "push"}  # fmt: skip
    assert of_token(jwt(claims)) == GITLAB


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", jwt([]), jwt({}), jwt({"iss": 1}), "e30.////.x", "e30.é.x"])
def test_what_is_no_token_of_a_pipeline_is_a_value_error(token: str) -> None:
    with pytest.raises(ValueError):
        of_token(token)
