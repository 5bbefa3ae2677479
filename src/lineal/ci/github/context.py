"""The context of a GitHub Actions run: environment, event payload, and git for what was checked out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lineal.ci import local, validation
from lineal.ci.checked_out import put_owner
from lineal.ci.context import Context, GitReader
from lineal.ci.validation import ContextBuilder
from lineal.errors import BadConfiguration

# GitHub caps webhook payloads at 25 MB.
_PAYLOAD_LIMIT = 32 << 20
_MERGE_REF = re.compile(r"refs/pull/(\d{1,12})/merge\Z")
_QUEUE_REF = re.compile(r"refs/heads/gh-readonly-queue/(?P<base>.+)/pr-\d+-[0-9a-f]+\Z")
_BY_PROJECT = {"push", "schedule", "release", "merge_group", "pull_request", "create", "delete", "registry_package"}
"""Events that only people of the project cause, and a pull request of its own branches."""
_ABOUT_A_PULL_REQUEST = {
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "pull_request_review_comment",
}


@dataclass(frozen=True)
class _Run:
    """One run's sources. `commit` is the CI's commit with a tag object peeled, None if it named none."""

    environ: Mapping[str, str]
    payload: dict[str, Any]
    git: GitReader
    draft: ContextBuilder
    head: str
    ref: str
    commit: str | None
    repository: str | None

    @property
    def at_ci_commit(self) -> bool:
        return self.commit is None or self.commit == self.head

    def of(self, path: str) -> object:
        """A value of the payload by its dotted path, None where the path ends early."""
        value: object = self.payload
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read(environ: Mapping[str, str], git: GitReader) -> Context:
    """Raises `BadConfiguration` for a payload or variable that makes no sense."""
    head = git.head()
    draft = ContextBuilder("github", head)
    event = validation.text(environ, "GITHUB_EVENT_NAME") or "unknown"
    ref = validation.ref_name(validation.text(environ, "GITHUB_REF"), "GITHUB_REF") or ""
    repository = validation.repository(validation.text(environ, "GITHUB_REPOSITORY"), "GITHUB_REPOSITORY")
    payload = _payload(environ, draft)
    run = _Run(environ, payload, git, draft, head, ref, _ci_commit(environ, git, head), repository)
    _put_repository(run)
    if event in _ABOUT_A_PULL_REQUEST:
        _put_pull_request(run, event)
    elif event == "merge_group" or _QUEUE_REF.match(ref):
        _put_merge_queue(run, event)
    elif event == "workflow_run":
        _put_workflow_run(run)
    else:
        _put_ref(run, event)
    local.put_default_branch(draft, git)
    if run.at_ci_commit and validation.text(environ, "GITHUB_REF_PROTECTED") == "true":
        draft.put("protected", True, "GITHUB_REF_PROTECTED")
    return draft.context()


def _payload(environ: Mapping[str, str], draft: ContextBuilder) -> dict[str, Any]:
    name = validation.text(environ, "GITHUB_EVENT_PATH")
    path = Path(name) if name else None
    if path is None or not path.is_file():
        draft.note("There is no event payload (GITHUB_EVENT_PATH); only the GITHUB_* variables count.")
        return {}
    remedy = "Leave GITHUB_EVENT_PATH as the runner set it."
    if path.stat().st_size > _PAYLOAD_LIMIT:
        raise BadConfiguration(
            f"The event payload {path} is larger than {_PAYLOAD_LIMIT >> 20} MiB.", id="LN-3012", remedy=remedy
        )
    try:
        payload = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise BadConfiguration(
            f"The event payload {path} is not JSON: {reason}.", id="LN-3012", remedy=remedy
        ) from None
    except OSError as error:
        raise BadConfiguration(
            f"The event payload {path} cannot be read: {error.strerror}.", id="LN-3012", remedy=remedy
        ) from None
    if not isinstance(payload, dict):
        raise BadConfiguration(f"The event payload {path} is not a JSON object.", id="LN-3012", remedy=remedy)
    return payload


def _ci_commit(environ: Mapping[str, str], git: GitReader, head: str) -> str | None:
    commit = validation.optional_id(validation.text(environ, "GITHUB_SHA"), "GITHUB_SHA")
    if commit is None or commit == head:
        return commit
    return git.peel(commit) or commit


def _put_repository(run: _Run) -> None:
    run.draft.put("repository", run.repository, "GITHUB_REPOSITORY")
    path = "repository.default_branch"
    run.draft.put("default_branch", validation.ref_name(run.of(path), f"payload {path}"), f"payload {path}")
    if run.repository is not None:
        server = validation.text(run.environ, "GITHUB_SERVER_URL") or "https://github.com"
        try:
            host = urlsplit(server).hostname
        except ValueError:
            host = None
        if not host or not re.fullmatch(r"[a-z0-9.-]+", host):
            raise BadConfiguration(
                f"GITHUB_SERVER_URL is not a URL: {server!a}.", id="LN-3012", remedy="Leave it as the runner set it."
            )
        registry = "ghcr.io" if host == "github.com" else f"containers.{host}"
        run.draft.put("default_store", f"{registry}/{run.repository.lower()}", "GITHUB_REPOSITORY")


def _put_ref(run: _Run, event: str) -> None:
    """Every event whose GITHUB_REF is a branch or tag: push, schedule, workflow_dispatch, release, ..."""
    is_tag = run.ref.startswith("refs/tags/")
    if event == "push" and is_tag:
        run.draft.put("event", "tag", "GITHUB_EVENT_NAME, GITHUB_REF")
    else:
        run.draft.put("event", event, "GITHUB_EVENT_NAME")
    if not run.at_ci_commit:
        _put_owner(run, event)
        _put_what_is_checked_out(run)
    elif run.ref.startswith("refs/heads/"):
        run.draft.put("branch", run.ref.removeprefix("refs/heads/"), "GITHUB_REF")
    elif is_tag:
        run.draft.put("tag", run.ref.removeprefix("refs/tags/"), "GITHUB_REF")
    elif event == "release":
        tag = validation.ref_name(run.of("release.tag_name"), "payload release.tag_name")
        run.draft.put("tag", tag, "payload release.tag_name")
    else:
        # Such as the deployment of a commit, which may be a fork's.
        _put_owner(run, event, ())
        local.put_branch(run.draft, run.git)


def _put_what_is_checked_out(run: _Run) -> None:
    """The job moved HEAD (a release commit, another `ref:`): names come from git, the CI's mean another commit."""
    _note_other_head(run)
    local.put_branch(run.draft, run.git)
    tag = run.ref.removeprefix("refs/tags/")
    if run.ref.startswith("refs/tags/") and tag in run.git.tags_at_head():
        run.draft.put("tag", tag, "GITHUB_REF, git tag")


def _put_owner(run: _Run, event: str, own: tuple[str, ...] | None = None) -> None:
    """Whose commit HEAD is, where neither the event nor the payload says so. `own` are commits of the project, by
    default the CI's."""
    if own is None:
        # Of a pull request it is the merge with somebody's branch.
        own = () if run.commit is None or _MERGE_REF.match(run.ref) else (run.commit,)
    put_owner(run.draft, run.git, run.repository, own, by_project=event in _BY_PROJECT)


def _note_other_head(run: _Run) -> None:
    if not run.at_ci_commit:
        run.draft.note(f"HEAD is {run.head[:12]}, not GITHUB_SHA {(run.commit or '')[:12]}; HEAD is built.")


def _put_merge_queue(run: _Run, event: str) -> None:
    """The queue's branch lives for one run: it must never name a cache or a deployment. Its commit becomes the
    base branch's own when the queue succeeds, so it is recorded as it is."""
    run.draft.put("event", event, "GITHUB_EVENT_NAME")
    base = validation.ref_name(run.of("merge_group.base_ref"), "payload merge_group.base_ref")
    if base is not None:
        run.draft.put("base_branch", base.removeprefix("refs/heads/"), "payload merge_group.base_ref")
    elif match := _QUEUE_REF.match(run.ref):
        run.draft.put("base_branch", match["base"], "GITHUB_REF")
    if run.at_ci_commit:
        path = "merge_group.base_sha"
        run.draft.put("merge_base", validation.optional_id(run.of(path), f"payload {path}"), f"payload {path}")
    else:
        _put_owner(run, event)
    _note_other_head(run)


def _put_workflow_run(run: _Run) -> None:
    """Runs with the default branch's rights, whatever started it: only that branch's own commit is trusted."""
    if run.at_ci_commit:
        _put_ref(run, "workflow_run")
        return
    run.draft.put("event", "workflow_run", "GITHUB_EVENT_NAME")
    _note_other_head(run)
    if _is_foreign(run, "workflow_run.head_repository.full_name"):
        _put_fork(run, "payload workflow_run.head_repository.full_name")
    elif validation.optional_id(run.of("workflow_run.head_sha"), "payload workflow_run.head_sha") == run.head:
        path = "workflow_run.head_branch"
        run.draft.put("branch", validation.ref_name(run.of(path), f"payload {path}"), f"payload {path}")
    else:
        _put_owner(run, "workflow_run")
        local.put_branch(run.draft, run.git)


def _put_pull_request(run: _Run, event: str) -> None:
    run.draft.put("event", event, "GITHUB_EVENT_NAME")
    run.draft.put("pull_request", *_number(run))
    base = validation.ref_name(run.of("pull_request.base.ref"), "payload pull_request.base.ref")
    run.draft.put("base_branch", base, "payload pull_request.base.ref")
    base = validation.ref_name(validation.text(run.environ, "GITHUB_BASE_REF"), "GITHUB_BASE_REF")
    run.draft.put("base_branch", base, "GITHUB_BASE_REF")
    foreign = _is_foreign(run, "pull_request.head.repo.full_name")
    if foreign:
        _put_fork(run, "payload pull_request.head.repo.full_name")
    is_merge_ref = _MERGE_REF.match(run.ref) is not None
    if run.at_ci_commit and not is_merge_ref:
        # A merged pull request's last run, or pull_request_target: HEAD is the base branch itself.
        _put_ref(run, event)
        return
    if run.at_ci_commit:
        _put_merge_parents(run)
    _put_head_branch(run, event, foreign)


def _put_merge_parents(run: _Run) -> None:
    """GitHub's merge ref exists for this run only; a commit with one parent is no merge and stands for itself."""
    parents = run.git.parents(run.head)
    if len(parents) > 1:
        checked = tuple(validation.commit_id(parent, "a parent of HEAD") for parent in parents)
        run.draft.put("parents", checked, "git HEAD, GITHUB_REF is a merge ref")


def _put_head_branch(run: _Run, event: str, foreign: bool) -> None:
    """HEAD is the merge ref, the pull request's own head, or something else that the job checked out."""
    head = validation.optional_id(run.of("pull_request.head.sha"), "payload pull_request.head.sha")
    if run.head == head and not run.at_ci_commit:
        run.draft.note(f"HEAD is the pull request's own head, not GITHUB_SHA {(run.commit or '')[:12]}.")
    else:
        _note_other_head(run)
    if foreign:
        return
    if run.at_ci_commit or run.head == head:
        path = "pull_request.head.ref"
        run.draft.put("branch", validation.ref_name(run.of(path), f"payload {path}"), f"payload {path}")
        name = validation.ref_name(validation.text(run.environ, "GITHUB_HEAD_REF"), "GITHUB_HEAD_REF")
        run.draft.put("branch", name, "GITHUB_HEAD_REF")
    else:
        _put_owner(run, event)
        local.put_branch(run.draft, run.git)


def _number(run: _Run) -> tuple[int | None, str]:
    for path in ("pull_request.number", "number"):
        if run.of(path) is not None:
            return validation.number(run.of(path), f"payload {path}"), f"payload {path}"
    match = _MERGE_REF.match(run.ref)
    return (int(match[1]) or None if match else None), "GITHUB_REF"


def _is_foreign(run: _Run, path: str) -> bool:
    """Whether the code comes from another repository; a deleted fork has no name, and is one all the same."""
    name = run.of(path)
    return not isinstance(name, str) or run.repository is None or name.lower() != run.repository.lower()


def _put_fork(run: _Run, source: str) -> None:
    run.draft.put("fork", True, source)
    run.draft.put("may_write", False, "a fork's code")
    run.draft.put("own", False, source)
    run.draft.note("The code comes from a fork: the cache is read, nothing is published.")
