"""A policy that a run is given beside the one of its commit: it may believe less, never more."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.errors import BadConfiguration
from lineal.session.policy import PolicyOfRun, of_file, require_narrower
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


def test_a_commit_that_says_nothing_takes_any(tmp_path: Path) -> None:
    given = policy(tmp_path, "given", "{accept: [{key: ci.pub}]}")
    require_narrower(given, PolicyOfRun(None, lambda _: None, lambda _: None))
