"""The policy of a commit: whom it believes. Made from `trust:` of its lineal.yaml by config/trust.py."""

from __future__ import annotations

from typing import Literal

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Whoever has the private half of a public key that is a file of the commit."""

    path: str
    """Relative to the repository's root."""


@dataclass(frozen=True, slots=True)
class IdentitySigner:
    """A pipeline that its CI vouches for."""

    forge: Literal["github", "gitlab"]
    project: str
    """`owner/repository`, or the path of a GitLab project; with `https://HOST/` where that is not the public one."""
    refs: tuple[str, ...] = ()
    """Patterns of full refs, such as `refs/heads/main` and `refs/tags/*`; empty for every ref."""
    workflow: str | None = None
    """The file that defines the job: a path of the project, or one with another repository before it; with `@REF`
    where it has to come from that ref. None for every one."""

    @property
    def is_fixed(self) -> bool:
        """Whether the workflow comes from one ref, wherever it runs. GitLab names the same file for a fork's
        branch."""
        _, at, ref = (self.workflow or "").partition("@")
        return self.forge == "github" and bool(at) and "*" not in ref

    def includes(self, other: IdentitySigner, *, merged: bool) -> bool:
        """Whether each pipeline of the other is one of this. Patterns of refs are compared as they are written. With
        `merged` (see `Policy`) a fixed workflow is believed for more than any other one is."""
        return (
            (self.forge, self.project) == (other.forge, other.project)
            and (self.workflow == other.workflow or (self.workflow is None and not (merged and other.is_fixed)))
            and (not self.refs or (bool(other.refs) and set(other.refs) <= set(self.refs)))
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a commit asks for. It is read from the very commit that is built."""

    key_required: bool = False
    """Whether only stages count that a protected pipeline has marked with its key."""
    accept: tuple[KeySigner | IdentitySigner, ...] = ()
    """Signers that are believed as well."""
    merged: bool = False
    """Whether what was signed in a pull request's pipeline of this repository counts once it is in the history."""
    recompute: bool = True
    """Whether a stage that git proves counts without a signature."""
