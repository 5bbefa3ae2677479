"""Whose commit is checked out: what the project's own server says about it.

Only people of the project push its branches and tags. Pull and merge requests (`refs/pull/*`,
`refs/merge-requests/*`) are there too, whoever made them; so a commit that nothing else holds is somebody else's."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lineal.errors import LinealError
from lineal.git.cache import cache_directory
from lineal.git.command import GitFailed, git_environment, run_git
from lineal.git.history_fetch import fetch
from lineal.git.remote import remote, remote_refs
from lineal.git.repository import Repository

_REQUEST = re.compile(r"refs/(pull|merge-requests)/")
_MERGE = re.compile(r"refs/(pull|merge-requests)/\d+/merge\Z")
_OWN = ("refs/heads/", "refs/tags/")


class Holder(enum.Enum):
    PROJECT = "project"
    REQUEST = "request"
    ELSEWHERE = "elsewhere"
    """The clone is one of another repository."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Holding:
    holder: Holder
    why: str = ""
    """The ref of the request that holds the commit, or the reason why nothing is known; for people."""


def holding(repository: Repository, project: str | None, own: Collection[str], *, requests_only: bool) -> Holding:
    """Who holds the commit that is checked out.

    `project` is the path of the project on its server (`owner/name`), `own` are commits that are known to be the
    project's. With `requests_only` no history is fetched for a commit that no request has: it is unknown."""
    if _reaches(repository.root, repository.environ, repository.commit, own):
        return Holding(Holder.PROJECT)
    try:
        url, _ = remote(repository)
        if not _is_of(url, project):
            return Holding(Holder.ELSEWHERE, "the clone is one of another repository")
        return _Server(repository).holding(repository.commit, requests_only)
    except LinealError as error:
        return Holding(Holder.UNKNOWN, error.message.rstrip("."))


class _Server:
    """The refs of the project's server, and the history that leads to them."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def holding(self, commit: str, requests_only: bool) -> Holding:
        requests = [ref for ref, oid in self._refs.items() if oid == commit and _REQUEST.match(ref)]
        if (requests or not requests_only) and self._is_held(commit):
            return Holding(Holder.PROJECT)
        if any(map(_MERGE.match, requests)) and all(map(self._is_held, self._repository.parents(commit))):
            # The server merged a branch of the project.
            return Holding(Holder.PROJECT)
        if requests:
            return Holding(Holder.REQUEST, requests[0])
        return Holding(Holder.UNKNOWN, "no branch or tag of the project's remote holds it")

    @cached_property
    def _refs(self) -> dict[str, str]:
        try:
            return remote_refs(self._repository)
        except LinealError:
            # git's messages repeat addresses and the words of a server.
            raise LinealError("its remote cannot be asked (git ls-remote failed)", id="LN-3014") from None

    def _is_held(self, commit: str) -> bool:
        """Whether a branch or tag of the server has the commit in its history."""
        return any(self._is_held_by(commit, kind) for kind in _OWN)

    def _is_held_by(self, commit: str, kind: str) -> bool:
        tips = {oid for ref, oid in self._refs.items() if ref.startswith(kind)}
        if commit in tips or not tips:
            return commit in tips
        repository = self._repository
        if _reaches(repository.root, repository.environ, commit, tips):
            return True
        side = fetch(repository, sorted(tips), cache_directory(repository.environ))
        return _reaches(side, git_environment(side, repository.environ), commit, tips)


def _reaches(folder: Path, environ: dict[str, str], commit: str, tips: Iterable[str]) -> bool:
    """Whether the history of one of these tips, as far as a repository has it, holds the commit."""
    try:
        run_git(["cat-file", "-e", commit + "^{commit}"], folder, environ)
        asked = "".join(f"^{tip}\n" for tip in sorted(tips)).encode()
        out = run_git(["rev-list", "--ignore-missing", "--max-count=1", "--stdin", commit], folder, environ, asked)
    except GitFailed:
        return False
    return not out.strip()


def _is_of(url: str, project: str | None) -> bool:
    """Whether an address is that of a project, by its path: a job may clone it from a mirror. What is on this machine
    the job itself has set up."""
    if url.startswith(("/", "file://")) or project is None:
        return True
    path = re.sub(r"\A[a-z+]+://[^/]*/|\A[^/]*:", "", url).strip("/").removesuffix(".git").lower().split("/")
    wanted = project.lower().split("/")
    return path[-len(wanted) :] == wanted
