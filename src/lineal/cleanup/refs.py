"""What still counts: the heads of all branches and tags, and every stage that their commits are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lineal.config.model import FILE
from lineal.config.template import GitFacts
from lineal.dockerfile.images import read_images
from lineal.dockerfile.stage import closure
from lineal.errors import BadConfiguration, LinealError, Unreachable
from lineal.git.command import run_git, with_config
from lineal.git.remote import remote
from lineal.git.repository import Repository
from lineal.session.project import load_exceptions, load_project, project_of_dockerfile

if TYPE_CHECKING:
    from lineal.session.session import Session

_BRANCH, _TAG = "refs/heads/", "refs/tags/"
_SHOWN = 5
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Ref:
    """A ref in full, `HEAD` for what is checked out, and its commit."""

    ref: str
    commit: str

    @property
    def name(self) -> str:
        return self.ref.removeprefix("refs/").partition("/")[2] or self.ref

    def is_ignored(self, patterns: Iterable[str]) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in patterns for text in (self.name, self.ref))


@dataclass
class Wanted:
    checksums: set[str] = field(default_factory=set)
    deploys: bool = False


def read_heads(repository: Repository, ignored: Sequence[str]) -> list[Ref]:
    """What is checked out, the branches of this clone, and those of its remote with its tags; without a remote all
    refs of this clone. Raises `LinealError`."""
    has_remote = bool(repository.run("remote").strip())
    places = [_BRANCH] if has_remote else [_BRANCH, _TAG, "refs/remotes/"]
    local = repository.run(
        "for-each-ref", "--format=%(objectname)%09%(refname)%0a%(*objectname)%09%(refname)^{}", *places
    )
    refs = _refs(local) | (_remote_refs(repository) if has_remote else {})
    heads = [Ref("HEAD", repository.commit), *(Ref(ref, commit) for ref, commit in sorted(refs.items()))]
    heads = [head for head in heads if not head.is_ignored(ignored)]
    if not any(head.ref.startswith("refs/") for head in heads):
        raise BadConfiguration(
            "There is no branch and no tag to keep stages for, so all old ones would be deleted.",
            remedy="Run the cleanup in a clone of the whole repository, and ignore fewer refs.",
        )
    return heads


def _remote_refs(repository: Repository) -> dict[str, str]:
    """As the server has them now: those that this clone has seen may be long gone."""
    try:
        url, settings = remote(repository)
        environ = with_config(repository.environ, ("remote.lineal.url", url), *settings)
        return _refs(run_git(["ls-remote", "--heads", "--tags", "lineal"], repository.root, environ))
    except LinealError:
        # git repeats addresses and what a server says.
        raise Unreachable(
            "The branches and tags of the remote cannot be read (git ls-remote failed).",
            remedy="Check that this job may read the repository.",
        ) from None


def _refs(out: bytes) -> dict[str, str]:
    """Ref -> commit; a line `REF^{}` says what the annotated tag before it stands for."""
    found: dict[str, str] = {}
    for line in out.decode("utf-8", "surrogateescape").split("\n"):
        oid, _, ref = line.partition("\t")
        if oid and _HEX.issuperset(oid) and ref.startswith("refs/"):
            found[ref.removesuffix("^{}")] = oid
    return found


def read_wanted(session: Session, heads: Sequence[Ref]) -> Wanted:
    """Every stage of these commits, planned as a build would. Raises `BadConfiguration` when one cannot be planned:
    what it needs would be deleted."""
    wanted, problems = Wanted(), []
    planned: set[tuple[str, bytes]] = set()
    for head in heads:
        try:
            _add(session, head, wanted, planned)
        except LinealError as error:
            problems.append((head, error))
    if problems:
        raise _refusal(problems)
    return wanted


def _add(session: Session, head: Ref, wanted: Wanted, planned: set[tuple[str, bytes]]) -> None:
    import msgspec

    repository = session.checkout.at(head.commit)
    if repository is None:
        raise _Missing(head.commit)
    if repository.file(FILE) is None and repository.file("Dockerfile") is None:
        return
    exceptions = load_exceptions(repository)
    loaded = load_project(repository, session.settings, _facts(session, head), exceptions)
    loaded = loaded or project_of_dockerfile(repository, session.context.repository)
    wanted.deploys = wanted.deploys or loaded.project.deploy is not None
    key = (repository.tree, msgspec.json.encode(loaded.project))
    if key not in planned:
        images = read_images(repository, loaded, unpinned=exceptions.unpinned)
        wanted.checksums |= {stage.checksum for stage in closure(list(images.last.values()))}
        planned.add(key)


def _facts(session: Session, head: Ref) -> GitFacts:
    """What a pipeline of this ref would say."""
    if head.ref == "HEAD":
        return session.git_facts
    tag = head.name if head.ref.startswith(_TAG) else None
    return GitFacts(head.commit, head.commit[:7], None if tag else head.name, tag)


class _Missing(LinealError):
    def __init__(self, commit: str) -> None:
        super().__init__(f"its commit {commit[:7]} is not in this clone.")


def _refusal(problems: Sequence[tuple[Ref, LinealError]]) -> BadConfiguration:
    names = ", ".join(head.name for head, _ in problems[:_SHOWN])
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    head, error = problems[0]
    if isinstance(error, _Missing):
        advice = 'Check out all branches and tags (GitHub: fetch-depth: 0, GitLab: GIT_DEPTH: "0").'
    else:
        advice = error.remedy or "Correct it."
    return BadConfiguration(
        f"Nothing is deleted, because it cannot be told what {names}{more} needs. {head.name}: {_said(error)}",
        remedy=f"{advice} Or leave out what need not be kept with --ignore-ref.",
    )


def _said(error: LinealError) -> str:
    return error.message if error.place is None else f"{error.place}: {error.message}"


def counted(heads: Sequence[Ref]) -> Iterator[str]:
    """For people: `3 branches`, `1 tag`. A branch of this clone and of its remote is one."""
    tags = sum(head.ref.startswith(_TAG) for head in heads)
    branches = sum(head.ref.startswith("refs/") for head in heads) - tags
    yield f"{branches} branch{'es' * (branches != 1)}"
    yield f"{tags} tag{'s' * (tags != 1)}"
