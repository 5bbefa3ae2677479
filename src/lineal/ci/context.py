"""The pipeline context: what this run is about, and which source said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from lineal.value import dataclass


class GitReader(Protocol):
    """Facts that the checked-out repository itself states; `lineal.git.repository.Repository` is the
    implementation."""

    def head(self) -> str:
        """The commit that is checked out, full hex."""

    def parents(self, commit: str) -> tuple[str, ...]:
        """The parents that the commit object names, also where a shallow clone has cut them off."""

    def peel(self, rev: str) -> str | None:
        """The commit that a tag object, a ref or an id stands for, None when it is not in this clone."""

    def branch(self) -> str | None:
        """The checked-out branch, None for a detached HEAD."""

    def default_branch(self) -> str | None:
        """The default branch as far as the clone knows or its usual name tells it, else None."""

    def tags_at_head(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Ids are full hex. `parents` is set only for a commit that the CI made for this run (a pull request's merge
    ref, a merged-results pipeline): its real parents, which records name in its place (DESIGN §5)."""

    provider: str
    """`github`, `gitlab` or `local`."""
    event: str
    """`push`, `pull_request`, `merge_request`, `tag`, `schedule`, ... ; `none` for a plain clone."""
    commit: str
    branch: str | None = None
    """Never a merge queue's throw-away branch, never a branch of somebody's fork (it could be called `main`)."""
    tag: str | None = None
    pull_request: int | None = None
    parents: tuple[str, ...] = ()
    merge_base: str | None = None
    base_branch: str | None = None
    """The branch that a pull/merge request or a merge queue leads to."""
    default_branch: str | None = None
    """The branch of the repository that people see first, None where nothing says which."""
    may_write: bool = True
    """False for a fork's or a stranger's commit: read the cache, build, publish nothing."""
    protected: bool = False
    """Whether the CI says that not everybody may push what is built: a protected branch or tag at its own commit."""
    fork: bool = False
    own: bool = True
    """Whether the commit is the project's own; a run may write all the same where a job builds another repository."""
    unproven: bool = False
    """Whether it may not write only because nothing is known of whose commit it is."""
    repository: str | None = None
    """`owner/name` on the forge, lower case where it is used in an image name."""
    default_store: str | None = None
    """`ghcr.io/<owner>/<repo>`, `$CI_REGISTRY_IMAGE`; None outside CI, and in one that offers none."""
    in_ci: bool = False
    """Whether this is a job: what it leaves on its machine may be gone with it."""
    sources: dict[str, str] = field(default_factory=dict)
    """Field name -> where its value came from, e.g. `GITHUB_SHA`, `payload pull_request.head.sha`, `git`."""
    notes: tuple[str, ...] = ()
    """Remarks for people on how the values came together: a HEAD that is not the CI's commit, a fork."""

    @property
    def trusted(self) -> bool:
        """Whether the commit gets what it names: secrets, a login at its store."""
        return self.own and self.may_write

    @property
    def open(self) -> bool:
        """Whether everybody who may push may push what is built: a pull request, or a branch that is neither
        protected nor the default one."""
        if self.pull_request is not None:
            return True
        known = bool(self.branch and self.default_branch) and not self.tag
        return known and not self.protected and self.branch != self.default_branch

    @property
    def line(self) -> str:
        """Who may push what is built, as a name: of protected branches and tags it is one, of all others their own.
        Runs of one line may share what is part of no checksum."""
        if self.protected and self.may_write:
            return "protected"
        if self.branch:
            return f"branch {self.branch}"
        if self.pull_request:
            return f"pull request {self.pull_request}"
        return f"tag {self.tag}" if self.tag else f"commit {self.commit}"
