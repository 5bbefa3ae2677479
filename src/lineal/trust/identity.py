"""Identities that a CI vouches for: what a certificate or a token of a pipeline says, and whether a policy has it.

Nothing here verifies anything: `sigstore_bundle` does, and gives the identity of what it has verified."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from lineal.regex import regex
from lineal.trust.policy import IdentitySigner
from lineal.value import dataclass

_GITHUB_ISSUER, _GITHUB, _GITLAB = (
    "https://token.actions.githubusercontent.com", "https://github.com", "https://gitlab.com",
)  # fmt: skip
_ENTERPRISE = "/_services/token"
"""How the issuer of a GitHub Enterprise Server ends."""
_OF_REQUEST = regex(r"refs/(?:pull|merge-requests)/([0-9]{1,12})/")
_STRANGERS = (
    "pull_request_target", "issue_comment", "workflow_run", "issues", "discussion", "discussion_comment", "fork",
    "watch", "gollum",
)  # fmt: skip
"""Events that run with the default branch's rights on behalf of whoever writes to the project, or looks at it."""
_MERGES = ("merge_request_event", "external_pull_request_event", "parent_pipeline")
"""Sources of GitLab's pipelines whose ref may be a branch of that name in somebody's fork."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A pipeline's run, as a certificate of Fulcio has it (sigstore/fulcio, docs/oid-info.md). Addresses are URIs."""

    issuer: str
    repository: str
    ref: str
    """A full ref."""
    commit: str
    workflow: str
    """The file that defines the job: `<repository>/<path>@<ref>`."""
    trigger: str = ""
    """The event that started the run."""

    @property
    def request(self) -> int | None:
        """The pull or merge request that the run is for, as far as its ref says so."""
        found = _OF_REQUEST.match(self.ref)
        return int(found[1]) if found else None

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Identity:
        """Raises ValueError or TypeError."""
        found = json.loads(text)
        names = [one.name for one in fields(Identity)]
        if not isinstance(found, dict) or sorted(found) != sorted(names):
            raise ValueError("no identity")
        return Identity(**{name: _text(found, name) for name in names})


def of_token(token: str) -> Identity:
    """The identity that Fulcio will read out of a token of the CI (a JWT, which only Fulcio verifies). Raises
    ValueError for what is none of GitHub or GitLab."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        issuer = _text(claims, "iss")
        if "job_workflow_ref" in claims:
            server = _GITHUB if issuer == _GITHUB_ISSUER else issuer.removesuffix(_ENTERPRISE)
            return Identity(
                issuer, f"{server}/{_text(claims, 'repository')}", _text(claims, "ref"), _text(claims, "sha"),
                f"{server}/{_text(claims, 'job_workflow_ref')}", _text(claims, "event_name"),
            )  # fmt: skip
        kind = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(_text(claims, "ref_type"), "")
        return Identity(
            issuer, f"{issuer}/{_text(claims, 'project_path')}", kind + _text(claims, "ref"), _text(claims, "sha"),
            f"https://{_text(claims, 'ci_config_ref_uri')}", _text(claims, "pipeline_source"),
        )  # fmt: skip
    except (LookupError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"no token of a pipeline: {type(error).__name__}") from None


@dataclass(frozen=True, slots=True)
class Run:
    """The run that verifies, as far as identities have to do with it."""

    merged: bool
    """Whether the policy accepts what was signed in a pull request's pipeline, or a branch's, once it is merged."""
    pull_request: int | None
    commit: str
    """The one that is built."""
    in_history: Callable[[str], bool]
    """Whether a commit is the one that is built, or an ancestor of it."""


def why_not(signer: IdentitySigner, found: Identity, said: tuple[str, ...], request: int | None, run: Run) -> str:
    """Why a signer of the policy is not this identity; empty when it is. `said` are the commits that are signed,
    `request` is the pull request that they are signed for."""
    server, project = _project(signer)
    if (found.issuer, found.repository) != (_issuer(signer.forge, server), f"{server}/{project}"):
        return "signed by a pipeline of another project"
    if signer.workflow is not None and not _is_workflow(signer.workflow, server, project, found.workflow):
        return "signed by another workflow"
    if signer.forge == "github" and found.trigger in _STRANGERS:
        return f"signed in a run for {found.trigger}, which strangers start"

    def is_ours() -> bool:
        """Whether the commit that the forge has written down is in this history, and the one that is signed."""
        return found.commit in said and run.in_history(found.commit)

    if run.pull_request is not None and (
        found.request == run.pull_request or (request == run.pull_request and is_ours())
    ):
        return ""
    request, branch = found.request or request, found.trigger not in _MERGES
    named = any(matches(pattern, found.ref) for pattern in signer.refs) or not signer.refs
    if request is None and branch and named:
        return ""
    # Nobody but its own author has seen what a pull request's or a branch's pipeline does. What it says of commits
    # counts where a branch cannot change it, or where it came with the very commit that is in the history now.
    if run.merged and (signer.is_fixed or is_ours()):
        return ""
    what = f"pull request {request}" if request is not None else "another ref" if branch else "a merge request"
    return f"signed for {what}, whose commit is not in this history" if run.merged else f"signed for {what}"


def may_sign(signer: IdentitySigner, found: Identity, request: int | None, merged: bool) -> bool:
    """Whether anybody would ever believe, by this signer of the policy, what a run of this identity signs."""
    return not why_not(signer, found, (found.commit,), request, Run(merged, None, "", lambda _: True))


def matches(pattern: str, ref: str) -> bool:
    """Whether a full ref is of a pattern: `*` is anything but a slash, `**` anything."""
    parts = [".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
             for part in re.split(r"(\*\*|\*)", pattern)]  # fmt: skip
    return re.fullmatch("".join(parts), ref) is not None


def _project(signer: IdentitySigner) -> tuple[str, str]:
    """The forge's address and the project's path there."""
    parts = urlsplit(signer.project)
    if parts.scheme:
        return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
    return (_GITHUB if signer.forge == "github" else _GITLAB), signer.project


def _issuer(forge: Literal["github", "gitlab"], server: str) -> str:
    if forge == "gitlab":
        return server
    return _GITHUB_ISSUER if server == _GITHUB else server + _ENTERPRISE


def _is_workflow(wanted: str, server: str, project: str, found: str) -> bool:
    """Whether the file of a job is the wanted one: of the project itself, or with the path of another repository
    before it; from any ref, or from the one behind its `@`."""
    path, _, ref = found.partition("@")
    name, at, pattern = wanted.partition("@")
    own = f"{server}/{project}/"
    # GitLab has two slashes between a project and a file of it.
    known = {f"{own}{name}", f"{own}/{name}", f"{server}/{name}"}
    return path in known and (not at or matches(pattern, ref))


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value
