"""The pipeline context: what this run is about, and which source said so."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    tag: str | None = None
    pull_request: int | None = None
    parents: tuple[str, ...] = ()
    merge_base: str | None = None
    may_write: bool = True
    """False for a pull request from a fork: read the cache, build, publish nothing."""
    fork: bool = False
    repository: str | None = None
    """`owner/name` on the forge, lower case where it is used in an image name."""
    default_store: str | None = None
    """`ghcr.io/<owner>/<repo>`, `$CI_REGISTRY_IMAGE`; None outside CI."""
    sources: dict[str, str] = field(default_factory=dict)
    """Field name -> where its value came from, e.g. `GITHUB_SHA`, `payload pull_request.head.sha`, `git`."""
