"""The context of a GitLab CI/CD job: its predefined variables, and git for what was checked out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lineal.ci import local, validation
from lineal.ci.checked_out import put_owner
from lineal.ci.context import Context, GitReader
from lineal.ci.validation import ContextBuilder
from lineal.errors import BadConfiguration

_MERGES = {"merged_result", "merge_train"}
_BY_PROJECT = {"push", "schedule", "merge_request_event"}
"""Pipelines that only people of the project start, and those of its own branches."""
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")


@dataclass(frozen=True)
class _Job:
    """One job's sources. `commit` is the CI's commit, None if it named none."""

    environ: Mapping[str, str]
    git: GitReader
    draft: ContextBuilder
    head: str
    commit: str | None

    @property
    def at_ci_commit(self) -> bool:
        return self.commit is None or self.commit == self.head

    def text(self, name: str) -> str | None:
        return validation.text(self.environ, name)

    def name(self, variable: str) -> str | None:
        return validation.ref_name(self.text(variable), variable)


def read(environ: Mapping[str, str], git: GitReader) -> Context:
    """Raises `BadConfiguration` for a variable that makes no sense."""
    head = git.head()
    draft = ContextBuilder("gitlab", head)
    commit = validation.optional_id(validation.text(environ, "CI_COMMIT_SHA"), "CI_COMMIT_SHA")
    if commit is not None and commit != head:
        commit = git.peel(commit) or commit
    job = _Job(environ, git, draft, head, commit)
    _put_project(job)
    if not job.at_ci_commit:
        draft.note(f"HEAD is {head[:12]}, not CI_COMMIT_SHA {(commit or '')[:12]}; HEAD is built.")
    if job.text("CI_MERGE_REQUEST_IID"):
        _put_merge_request(job)
    else:
        _put_ref(job)
    local.put_default_branch(draft, git)
    if job.at_ci_commit and job.text("CI_COMMIT_REF_PROTECTED") == "true":
        draft.put("protected", True, "CI_COMMIT_REF_PROTECTED")
    return draft.context()


def _put_project(job: _Job) -> None:
    path = validation.repository(job.text("CI_PROJECT_PATH"), "CI_PROJECT_PATH")
    job.draft.put("repository", path, "CI_PROJECT_PATH")
    job.draft.put("default_branch", job.name("CI_DEFAULT_BRANCH"), "CI_DEFAULT_BRANCH")
    image = job.text("CI_REGISTRY_IMAGE")
    if image is None:
        job.draft.note("CI_REGISTRY_IMAGE is not set: this project's container registry is switched off.")
    elif not _IMAGE.match(image):
        raise BadConfiguration(
            f"CI_REGISTRY_IMAGE is not a repository: {image!a}.", id="LN-3012", remedy="Leave it as GitLab set it."
        )
    job.draft.put("default_store", image, "CI_REGISTRY_IMAGE")


def _put_ref(job: _Job) -> None:
    tag = job.name("CI_COMMIT_TAG")
    source = job.text("CI_PIPELINE_SOURCE") or "unknown"
    if tag is not None and source == "push":
        job.draft.put("event", "tag", "CI_PIPELINE_SOURCE, CI_COMMIT_TAG")
    else:
        job.draft.put("event", source, "CI_PIPELINE_SOURCE")
    if job.at_ci_commit:
        job.draft.put("branch", job.name("CI_COMMIT_BRANCH"), "CI_COMMIT_BRANCH")
        job.draft.put("tag", tag, "CI_COMMIT_TAG")
        return
    _put_owner(job)
    local.put_branch(job.draft, job.git)
    if tag is not None and tag in job.git.tags_at_head():
        job.draft.put("tag", tag, "CI_COMMIT_TAG, git tag")


def _put_merge_request(job: _Job) -> None:
    kind = job.text("CI_MERGE_REQUEST_EVENT_TYPE") or "detached"
    event, source = "merge_request", "CI_PIPELINE_SOURCE"
    if kind in _MERGES:
        event, source = kind, "CI_MERGE_REQUEST_EVENT_TYPE"
    job.draft.put("event", event, source)
    iid = "CI_MERGE_REQUEST_IID"
    job.draft.put("pull_request", validation.number(job.text(iid), iid), iid)
    target = "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"
    job.draft.put("base_branch", job.name(target), target)
    if job.at_ci_commit:
        base = "CI_MERGE_REQUEST_DIFF_BASE_SHA"
        job.draft.put("merge_base", validation.optional_id(job.text(base), base), base)
    if job.at_ci_commit and kind in _MERGES:
        _put_merge_parents(job)
    _put_source(job)


def _put_merge_parents(job: _Job) -> None:
    """The merge commit that GitLab made for this pipeline is on no branch. With one parent (a fast-forward train)
    it is the commit that the target branch will get, and stands for itself."""
    parents = job.git.parents(job.head)
    if len(parents) > 1:
        checked = tuple(validation.commit_id(parent, "a parent of HEAD") for parent in parents)
        job.draft.put("parents", checked, "git HEAD, CI_MERGE_REQUEST_EVENT_TYPE")


def _put_source(job: _Job) -> None:
    """Whether a stranger wrote the code. A fork's own pipeline has the fork's registry and may write there; run by a
    member of the parent project, the same code sees the parent's registry and may not."""
    variable = "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"
    source, here = job.text(variable), job.text("CI_PROJECT_PATH")
    target = job.text("CI_MERGE_REQUEST_PROJECT_PATH") or here
    if source != target:
        job.draft.put("fork", True, variable)
    if source != here:
        job.draft.put("may_write", False, variable)
        job.draft.put("own", False, variable)
        job.draft.note("The code comes from a fork: the cache is read, nothing is published.")
    elif job.at_ci_commit:
        branch = "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"
        job.draft.put("branch", job.name(branch), branch)
    else:
        _put_owner(job)
        local.put_branch(job.draft, job.git)


def _put_owner(job: _Job) -> None:
    """Whose commit HEAD is, where the job has checked out another one than its own."""
    own = () if job.commit is None or job.text("CI_MERGE_REQUEST_IID") else (job.commit,)
    by_project = job.text("CI_PIPELINE_SOURCE") in _BY_PROJECT
    put_owner(job.draft, job.git, job.text("CI_PROJECT_PATH"), own, by_project=by_project)
