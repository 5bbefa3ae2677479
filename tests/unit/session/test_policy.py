"""A policy that a run is given beside the one of its commit: it may believe less, never more."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from lineal.context.committed import MAX_TEXT
from lineal.errors import BadConfiguration
from lineal.session.policy import PolicyOfRun, of_file, require_narrower
from lineal.trust.identity import Identity, Run, why_not
from lineal.trust.policy import IdentitySigner, Policy
from tests.unit.trust.signing import new_key, public_pem


def policy(folder: Path, name: str, trust: str) -> PolicyOfRun:
    (folder / name).mkdir(exist_ok=True)
    for key in ("ci", "other"):
        (folder / name / f"{key}.pub").write_bytes(public_pem(new_key(key)))
    # The same key under another name.
    (folder / name / "copy.pub").write_bytes(public_pem(new_key("ci")))
    file = folder / name / "policy.yaml"
    file.write_text(f"trust: {trust}\n")
    return of_file(file, "policy.yaml")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("{accept: [{key: ci.pub}, {key: other.pub}]}", "{accept: [{key: copy.pub}], recompute: false}"),
        ("{key: required}", "{key: required, recompute: false}"),
        ("{accept: [{key: ci.pub}], merged: true}", "{key: required, accept: [{key: ci.pub}]}"),
        ("{accept: [{github: acme/shop}]}", "{accept: [{github: acme/shop, refs: [refs/heads/a], workflow: a.yml}]}"),
        (
            "{accept: [{gitlab: acme/shop, refs: [refs/heads/a, refs/tags/b]}]}",
            "{accept: [{gitlab: acme/shop, refs: [refs/tags/b]}]}",
        ),
    ],
)
def test_one_that_believes_less_counts(tmp_path: Path, asked: str, given: str) -> None:
    require_narrower(policy(tmp_path, "given", given), policy(tmp_path, "asked", asked))


@pytest.mark.parametrize(
    ("asked", "given", "more"),
    [
        ("{accept: [{key: ci.pub}]}", "{accept: [{key: ci.pub}, {key: other.pub}]}", "`other.pub`"),
        ("{key: required}", "{accept: [{key: ci.pub}]}", "no key of protected pipelines"),
        ("{key: required}", "{key: required, accept: [{key: ci.pub}]}", "`ci.pub`"),
        ("{accept: [{key: ci.pub}], recompute: false}", "{accept: [{key: ci.pub}]}", "recompute"),
        ("{accept: [{key: ci.pub}]}", "{accept: [{key: ci.pub}], merged: true}", "merged"),
        ("{accept: [{github: acme/shop}]}", "{accept: [{github: acme/other}]}", "`acme/other`"),
        ("{accept: [{github: acme/shop}]}", "{accept: [{gitlab: acme/shop}]}", "`acme/shop`"),
        ("{accept: [{github: acme/shop, refs: [refs/heads/a]}]}", "{accept: [{github: acme/shop}]}", "other `refs`"),
        (
            "{accept: [{github: acme/shop, refs: [refs/heads/a]}]}",
            "{accept: [{github: acme/shop, refs: [refs/heads/a, refs/tags/b]}]}",
            "other `refs`",
        ),
        ("{accept: [{github: acme/shop, workflow: a.yml}]}", "{accept: [{github: acme/shop}]}", "another `workflow`"),
    ],
)
def test_one_that_believes_more_is_refused(tmp_path: Path, asked: str, given: str, more: str) -> None:
    with pytest.raises(BadConfiguration, match="believes") as error:
        require_narrower(policy(tmp_path, "given", given), policy(tmp_path, "asked", asked))
    assert more in str(error.value) and "policy.yaml:1" in str(error.value.place)


def test_a_policy_is_read_to_its_end(tmp_path: Path) -> None:
    trust = "trust:\n  accept: [{key: ci.pub}]\n"
    file = tmp_path / "policy.yaml"
    file.write_text(trust + "#" * (MAX_TEXT - len(trust)))
    assert of_file(file, "policy.yaml").policy is not None
    file.write_text(trust + "#" * (MAX_TEXT - len(trust)) + "\n  key: required\n")
    with pytest.raises(BadConfiguration, match="cannot be read"):
        of_file(file, "policy.yaml")


def test_a_commit_that_says_nothing_takes_any(tmp_path: Path) -> None:
    given = policy(tmp_path, "given", "{accept: [{key: ci.pub}]}")
    require_narrower(given, PolicyOfRun(None, lambda _: None, lambda _: None))


# --- no pipeline is believed that the commit does not believe ---------------------------------------------------

FORGE = "https://github.com"
COMMIT, ELSEWHERE = "1" * 40, "2" * 40
REFS = ((), ("refs/heads/main",), ("refs/heads/*", "refs/heads/main"))
WORKFLOWS = (None, "a.yml", "a.yml@refs/heads/main", "a.yml@refs/heads/*")
POLICIES = [
    Policy(False, (IdentitySigner("github", "acme/shop", refs, workflow),), merged)
    for refs, workflow, merged in product(REFS, WORKFLOWS, (False, True))
]
PIPELINES = [
    Identity(
        "https://token.actions.githubusercontent.com", f"{FORGE}/acme/shop", ref, commit,
        f"{FORGE}/acme/shop/a.yml@{of}", trigger,
    )
    for ref, commit, of, trigger in product(
        ("refs/heads/main", "refs/heads/x", "refs/pull/7/merge"), (COMMIT, ELSEWHERE),
        ("refs/heads/main", "refs/heads/x"), ("push", "pull_request"),
    )
]  # fmt: skip
SEEN = list(product(PIPELINES, (None, 7), (None, 7)))


def of(policy: Policy) -> PolicyOfRun:
    return PolicyOfRun(policy, lambda _: None, lambda _: None)


def believes(policy: Policy, found: Identity, request: int | None, pull_request: int | None) -> bool:
    """In a run of a commit that has no other one in its history."""
    run = Run(policy.merged, pull_request, COMMIT, lambda commit: commit == COMMIT)
    return any(
        not why_not(signer, found, (COMMIT,), request, run)
        for signer in policy.accept if isinstance(signer, IdentitySigner)
    )  # fmt: skip


def is_narrower(mine: Policy, own: Policy) -> bool:
    try:
        require_narrower(of(mine), of(own))
    except BadConfiguration:
        return False
    return True


def test_who_believes_less_believes_no_other_pipeline() -> None:
    """All policies of one signer, in runs for a commit and for a pull request."""
    believed = {policy: {at for at, seen in enumerate(SEEN) if believes(policy, *seen)} for policy in POLICIES}
    narrower = [pair for pair in product(POLICIES, POLICIES) if is_narrower(*pair)]
    assert len(narrower) > 100
    assert [(mine, own) for mine, own in narrower if not believed[mine] <= believed[own]] == []


def test_a_workflow_that_no_branch_can_change_is_believed_for_more(tmp_path: Path) -> None:
    """With `merged` also for commits that are not in the history, which the commit does not ask for."""
    own = policy(tmp_path, "own", "{accept: [{github: acme/shop}], merged: true}")
    for merged in ("false", "true"):
        fixed = f"{{accept: [{{github: acme/shop, workflow: a.yml@refs/heads/main}}], merged: {merged}}}"
        if merged == "false":
            require_narrower(policy(tmp_path, "given", fixed), own)
        else:
            with pytest.raises(BadConfiguration, match="another `workflow`"):
                require_narrower(policy(tmp_path, "given", fixed), own)
