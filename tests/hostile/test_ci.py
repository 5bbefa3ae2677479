"""Payloads and variables of a CI, in which strangers name branches, tags and forks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.ci.provider import provider_of
from tests.hostile.bounds import answer
from tests.hostile.inputs import changed

HEAD = "1" * 40
PAYLOAD = {
    "number": 2,
    "pull_request": {"number": 2, "base": {"ref": "main"},
                     "head": {"ref": "x", "sha": HEAD, "repo": {"full_name": "a/b"}}},
    "merge_group": {"base_ref": "refs/heads/main", "base_sha": "2" * 40},
    "workflow_run": {"head_sha": HEAD, "head_branch": "x", "head_repository": {"full_name": "a/b"}},
    "release": {"tag_name": "v1"}, "repository": {"fork": False},
}  # fmt: skip
EVENTS = ["push", "pull_request", "pull_request_target", "merge_group", "workflow_run", "release", "schedule", "x\n"]
REFS = ["refs/heads/main", "refs/pull/2/merge", "refs/tags/v1", "refs/heads/gh-readonly-queue/main/pr-1-" + HEAD,
        "", "refs/pull/" + "9" * 5000 + "/merge", "refs/pull/٢/merge", "\ud800",
        "refs/heads/" + "x" * 70_000]  # fmt: skip


class Git:
    """HEAD is a merge; nothing else is known."""

    root = Path("/nowhere")

    def head(self) -> str:
        return HEAD

    def branch(self) -> str | None:
        return None

    def parents(self, commit: str) -> tuple[str, ...]:
        return ("2" * 40, "3" * 40)

    def peel(self, rev: str) -> str | None:
        return None

    def default_branch(self) -> str | None:
        return None

    def tags_at_head(self) -> list[str]:
        return ["v1"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed(PAYLOAD), st.sampled_from(EVENTS), st.sampled_from(REFS), st.sampled_from([HEAD, "", "x", "4" * 40]))
@example(PAYLOAD, "pull_request", "refs/pull/" + "9" * 5000 + "/merge", HEAD)
def test_a_payload_of_github_is_read_or_refused(tmp_path: Path, payload: Any, event: str, ref: str, sha: str) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(payload))
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, "GITHUB_REF": ref, "GITHUB_SHA": sha,
               "GITHUB_REPOSITORY": "a/b", "GITHUB_EVENT_PATH": str(file)}  # fmt: skip
    context = answer(provider_of(environ).context, Git())
    assert context is None or context.commit == HEAD


GITLAB = {
    "GITLAB_CI": "true", "CI_COMMIT_SHA": HEAD, "CI_COMMIT_BRANCH": "main",
    "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "2",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "x", "CI_PROJECT_PATH": "a/b",
    "CI_REGISTRY_IMAGE": "registry.example/a/b", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1", "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_COMMIT_TAG": "",
}  # fmt: skip
VALUES = st.sampled_from(["", "x", "\n", "9" * 5000, "٢", "-1", "\ud800", "refs/heads/a", "a b", "..", "true", HEAD])


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(GITLAB.keys() - {"GITLAB_CI"})), VALUES, max_size=4))
def test_variables_of_gitlab_are_read_or_refused(odd: dict[str, str]) -> None:
    answer(provider_of({**GITLAB, **odd}).context, Git())
