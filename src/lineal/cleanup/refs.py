"""The stages that branches and tags still need: every stage that their commits are built of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lineal.cleanup.unknown import Unknown
from lineal.config.confined import Exceeded, each
from lineal.config.model import FILE
from lineal.config.publish import Publish
from lineal.config.template import GitFacts
from lineal.context.committed import MAX_TEXT, dockerfile_of
from lineal.dockerfile.images import read_images
from lineal.dockerfile.stage import closure, ends
from lineal.errors import BadConfiguration, LinealError, Unreachable
from lineal.git.remote import parse_refs, remote_refs
from lineal.git.repository import Repository
from lineal.session.project import load_exceptions, load_project, project_of_dockerfile
from lineal.text import printable

if TYPE_CHECKING:
    from lineal.session.session import Session

_BRANCH, _TAG = "refs/heads/", "refs/tags/"
_SHOWN = 5
SECONDS, MEMORY = 60, 2 << 30
"""What planning one commit may take."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A ref and its commit."""

    ref: str
    """The full name, such as `refs/heads/main`; `HEAD` for the checked-out commit."""
    commit: str

    @property
    def name(self) -> str:
        return self.ref.removeprefix("refs/").partition("/")[2] or self.ref

    def is_ignored(self, patterns: Iterable[str]) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in patterns for text in (self.name, self.ref))


@dataclass(frozen=True, slots=True)
class _Needs:
    """What one commit needs; see `Wanted` and `Unknown`."""

    checksums: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()
    deploys: bool = False


@dataclass
class Wanted:
    """The stages that some commits need."""

    checksums: set[str] = field(default_factory=set)
    deploys: bool = False
    """Whether the project of one of the commits deploys."""
    unknown: Unknown = field(default_factory=Unknown)
    """Those that are made of artifacts, or of commits that cannot be planned."""


def read_refs(repository: Repository, ignored: Sequence[str]) -> list[Ref]:
    """The checked-out commit, the branches of this clone, and branches and tags of its remote; without a remote all
    refs of this clone. Raises `LinealError`."""
    has_remote = bool(repository.run("remote").strip())
    places = [_BRANCH] if has_remote else [_BRANCH, _TAG, "refs/remotes/"]
    local = repository.run(
        "for-each-ref", "--format=%(objectname)%09%(refname)%0a%(*objectname)%09%(refname)^{}", *places
    )
    refs = parse_refs(local) | (_remote_refs(repository) if has_remote else {})
    every = [Ref("HEAD", repository.commit), *(Ref(ref, commit) for ref, commit in sorted(refs.items()))]
    kept = [ref for ref in every if not ref.is_ignored(ignored)]
    if not any(ref.ref.startswith("refs/") for ref in kept):
        raise BadConfiguration(
            "There is no branch and no tag to keep stages for, so all old ones would be deleted.",
            id="LN-8003",
            remedy="Run the cleanup in a clone of the whole repository, and ignore fewer refs.",
        )
    return kept


def _remote_refs(repository: Repository) -> dict[str, str]:
    """The refs that the server has now: those that this clone has seen may be long gone."""
    try:
        return remote_refs(repository, "--heads", "--tags")
    except LinealError:
        # The messages of git repeat addresses and the words of a server, so they are not shown.
        raise Unreachable(
            "The branches and tags of the remote cannot be read (git ls-remote failed).",
            id="LN-8004",
            remedy="Check that this job may read the repository.",
        ) from None


def read_wanted(session: Session, refs: Sequence[Ref]) -> Wanted:
    """Every stage of these commits, planned as a build would plan it. Anybody may push a branch that cannot be
    planned or takes too long: it gets a line, and what was built for it stays.

    Raises `BadConfiguration` when the commit that is checked out cannot be planned, or another one is not in the
    clone: the stages that it needs would be deleted."""
    wanted, missing = Wanted(), []
    planned: dict[tuple[str, bytes], _Needs] = {}
    open_ends: list[str] = []

    def needs(ref: Ref) -> _Needs:
        return _needs(session, ref, planned)

    for ref, found in zip(refs, each(needs, refs, seconds=SECONDS, memory=MEMORY), strict=True):
        if isinstance(found, _Missing) or (isinstance(found, LinealError) and ref.commit == session.checkout.commit):
            missing.append((ref, found))
        elif isinstance(found, Exception):
            session.progress.warn(
                f"It cannot be told what {printable(ref.name)} needs, so what was built for it stays and nothing "
                f"else: {printable(_said(found), 500)}"
            )
            wanted.unknown.built_for |= {ref.name, ref.commit}
        else:
            wanted.checksums |= found.checksums
            wanted.deploys = wanted.deploys or found.deploys
            wanted.unknown.below |= found.below
            open_ends += [ref.commit] * bool(found.below)
    if missing:
        raise _refusal(missing)
    if open_ends:
        wanted.unknown.add_histories(session.checkout, open_ends)
    return wanted


def _needs(session: Session, ref: Ref, planned: dict[tuple[str, bytes], _Needs]) -> _Needs:
    import msgspec

    repository = session.checkout.at(ref.commit)
    if repository is None:
        raise _Missing(ref.commit)
    file, dockerfile = repository.file(FILE, MAX_TEXT), dockerfile_of(repository, "Dockerfile")
    if file is None and repository.file(dockerfile, MAX_TEXT) is None:
        return _Needs()
    exceptions = load_exceptions(repository)
    grants = session.given.templates(exceptions)
    loaded = load_project(repository, session.settings, _facts(session, ref), exceptions, grants)
    loaded = loaded or project_of_dockerfile(repository, session.context.repository, session.settings.platforms.value)
    # Tags name the ref, and change nothing in an image.
    publish = loaded.project.publish
    built = msgspec.structs.replace(loaded.project, publish=Publish(sbom=publish.sbom) if publish else None)
    key = (repository.tree, msgspec.json.encode(built))
    if key not in planned:
        images = read_images(repository, loaded, exceptions=exceptions)
        stages = closure([*ends(images.images), *ends(images.sboms)])
        known = frozenset(stage.checksum for stage in stages if not stage.unknown)
        planned[key] = _Needs(known, frozenset(Unknown.below_of(stages)), loaded.project.deploy is not None)
    return planned[key]


def _facts(session: Session, ref: Ref) -> GitFacts:
    """The facts that a pipeline of this ref would have."""
    if ref.ref == "HEAD":
        return session.git_facts
    tag = ref.name if ref.ref.startswith(_TAG) else None
    return GitFacts(ref.commit, ref.commit[:7], None if tag else ref.name, tag, session.context.default_branch)


class _Missing(BadConfiguration):
    def __init__(self, commit: str) -> None:
        super().__init__(f"its commit {commit[:7]} is not in this clone.", id="LN-8002")


def _refusal(problems: Sequence[tuple[Ref, LinealError]]) -> BadConfiguration:
    names = ", ".join(ref.name for ref, _ in problems[:_SHOWN])
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    ref, error = problems[0]
    if isinstance(error, _Missing):
        advice = 'Check out all branches and tags (GitHub: fetch-depth: 0, GitLab: GIT_DEPTH: "0").'
    else:
        advice = error.remedy or "Correct it."
    return BadConfiguration(
        f"Nothing is deleted, because it cannot be told what {names}{more} needs. {ref.name}: {_said(error)}",
        id="LN-8002",
        remedy=f"{advice} Or leave out what need not be kept with --ignore-ref.",
    )


def _said(error: LinealError | Exceeded) -> str:
    if isinstance(error, Exceeded):
        return f"planning it takes more than {SECONDS} s, or more than {MEMORY >> 30} GiB of memory."
    return error.message if error.place is None else f"{error.place}: {error.message}"


def counted(refs: Sequence[Ref]) -> Iterator[str]:
    """For people: `3 branches`, `1 tag`. A branch of this clone and of its remote is one."""
    tags = sum(ref.ref.startswith(_TAG) for ref in refs)
    branches = sum(ref.ref.startswith("refs/") for ref in refs) - tags
    yield f"{branches} branch{'es' * (branches != 1)}"
    yield f"{tags} tag{'s' * (tags != 1)}"
