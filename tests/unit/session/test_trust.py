"""Which runs go on without the key of a project that asks for one, and what each of them believes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lineal.ci.context import Context
from lineal.errors import BadConfiguration
from lineal.session.trust import TrustOfRun, keys_of
from lineal.stages.lane import CLOSED, OPEN
from lineal.trust.mark import TRUST_KEY, TrustKey
from lineal.trust.policy import Policy

KEY = TrustKey(bytes(range(32)))
ENVIRON = {TRUST_KEY: KEY.secret.hex()}
LINES: dict[str, tuple[dict[str, Any], bool]] = {
    "the default branch": ({"branch": "main"}, False),
    "a protected branch": ({"branch": "release", "protected": True}, False),
    "a tag": ({"tag": "v1"}, False),
    "a branch that is called as the tag that is built": ({"branch": "x", "tag": "v1"}, False),
    "a merge queue": ({"base_branch": "main"}, False),
    "no branch that is known": ({}, False),
    "a branch where no default one is known": ({"branch": "x", "default_branch": None}, False),
    "another branch": ({"branch": "feature"}, True),
    "a pull request": ({"pull_request": 7, "base_branch": "main", "parents": ("a", "b")}, True),
    "a fork": ({"pull_request": 7, "fork": True, "may_write": False}, True),
    "a stranger's commit": ({"branch": "main", "may_write": False, "own": False}, True),
}


REQUIRED = Policy(key_required=True)


def run(keys: tuple[TrustKey, ...] = (), policy: Policy | None = REQUIRED, **facts: Any) -> TrustOfRun:
    context = Context("github", "push", "c" * 40, **{"default_branch": "main", **facts})
    return TrustOfRun(policy, keys, context, "registry.example.com/app")


@pytest.mark.parametrize(("facts", "goes_on"), LINES.values(), ids=LINES)
def test_without_the_key_only_what_anybody_may_push_is_built(facts: dict[str, Any], goes_on: bool) -> None:
    without = run(**facts)
    assert without.lane is (OPEN if goes_on else CLOSED)
    if goes_on:
        without.require_build()
        assert not without.judge.strict
    else:
        with pytest.raises(BadConfiguration, match=TRUST_KEY):
            without.require_build()
    with pytest.raises(BadConfiguration, match=f"no {TRUST_KEY}: it does not deploy"):
        without.require("deploy")


@pytest.mark.parametrize(("facts", "goes_on"), LINES.values(), ids=LINES)
def test_with_the_key_every_own_run_believes_marks_alone(facts: dict[str, Any], goes_on: bool) -> None:
    told: list[str] = []
    context = run(**facts).context
    keys = keys_of(ENVIRON, context, told.append)
    assert keys == ((KEY,) if context.trusted else ())
    assert bool(told) is not context.trusted
    if keys:
        keyed = run(keys, **facts)
        keyed.require("deploy")
        keyed.require_build()
        assert keyed.judge.strict and keyed.lane is CLOSED


def test_a_working_tree_is_built_for_oneself_and_goes_nowhere() -> None:
    dev = replace(run(branch="main"), dev=True)
    dev.require_build()
    assert dev.lane is OPEN
    with pytest.raises(BadConfiguration):
        dev.require("deploy")


@pytest.mark.parametrize("facts", [facts for facts, _ in LINES.values()], ids=LINES)
def test_without_a_policy_a_run_without_the_key_is_as_it_always_was(facts: dict[str, Any]) -> None:
    plain = run(policy=None, **facts)
    plain.require("deploy")
    plain.require_build()
    assert not plain.judge.strict and plain.lane is CLOSED and plain.shown == ""
    assert run((KEY,), None, **facts).judge.strict
