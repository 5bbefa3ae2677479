"""A plain clone on somebody's machine, as a provider: git knows everything about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from lineal.ci.context import Context, GitReader
from lineal.ci.results import ResultFiles
from lineal.ci.validation import ContextBuilder, ref_name, version_order
from lineal.errors import LinealError
from lineal.oci.credential import Credential
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.report.log import Markers
    from lineal.report.model import ErrorReport, Report


_JOBS = ("CI", "JENKINS_URL", "TF_BUILD", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID", "bamboo_buildKey")
"""`CI` is set by most; Jenkins, Azure, TeamCity, CodeBuild and Bamboo have their own alone."""

_FORKS = ("CHANGE_FORK", "SYSTEM_PULLREQUEST_ISFORK", "CIRCLE_PR_USERNAME")
"""Set for a fork's pull request by Jenkins, Azure and CircleCI."""


@dataclass(frozen=True, slots=True)
class Local:
    environ: Mapping[str, str]
    name: ClassVar[str] = "local"
    title: ClassVar[str] = "plain clone"

    @property
    def is_here(self) -> bool:
        return True

    def context(self, git: GitReader) -> Context:
        draft = ContextBuilder("local", git.head())
        put_branch(draft, git)
        put_tag(draft, git)
        put_default_branch(draft, git)
        if (variable := said_by(self.environ, _JOBS)) is not None:
            draft.put("in_ci", True, variable)
        if (variable := said_by(self.environ, _FORKS)) is not None:
            draft.put("fork", True, variable)
            draft.put("may_write", False, variable)
            draft.put("own", False, variable)
            draft.note("The code comes from a fork: the cache is read, nothing is published.")
        return draft.context()

    def markers(self) -> Markers | None:
        return None

    def annotation(self, error: LinealError) -> str:  # noqa: ARG002
        return ""

    def guarded(self, text: str) -> str:
        return text

    def job(self) -> str:
        return f"process {os.getpid()} on {socket.gethostname()}"

    def builder(self) -> tuple[str, str]:
        return "", ""

    @property
    def identity_token(self) -> None:
        return None

    @property
    def identity_lines(self) -> str:
        return ""

    def logins(self) -> Mapping[str, Credential]:
        return {}

    def write_results(self, report: Report, files: ResultFiles) -> None:
        """Nothing: `--report` is written in every CI."""

    def write_error(self, command: str, error: ErrorReport, files: ResultFiles) -> None:
        """Nothing: the error is on the terminal."""


def said_by(environ: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The variable by which a CI that Lineal does not know says that something is so."""
    said = (name for name in names if environ.get(name, "").strip().lower() not in ("", "0", "false", "no"))
    return next(said, None)


def put_branch(draft: ContextBuilder, git: GitReader) -> None:
    draft.put("branch", ref_name(git.branch(), "the checked-out branch"), "git branch")


def put_default_branch(draft: ContextBuilder, git: GitReader) -> None:
    draft.put("default_branch", ref_name(git.default_branch(), "the default branch"), "git origin/HEAD, or its name")


def put_tag(draft: ContextBuilder, git: GitReader) -> None:
    """The tag at HEAD; of several the highest version, and a note about that."""
    tags = sorted((name for tag in git.tags_at_head() if (name := ref_name(tag, "a tag"))), key=version_order)
    if tags:
        draft.put("tag", tags[-1], "git tag")
    if len(tags) > 1:
        draft.note(f"HEAD has {len(tags)} tags; {tags[-1]} is used.")
