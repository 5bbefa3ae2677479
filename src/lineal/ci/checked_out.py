"""Whose code a job checked out, where that is another commit than the one the CI started it for."""

from __future__ import annotations

from collections.abc import Collection

from lineal.ci.context import GitReader
from lineal.ci.validation import ContextBuilder
from lineal.git.repository import Repository


def put_owner(
    draft: ContextBuilder, git: GitReader, project: str | None, own: Collection[str], *, by_project: bool
) -> None:
    """Take the right to write, and to what it names, from a commit of somebody else. `own` are commits that are the
    project's own.

    `by_project`: only people of the project cause this event, so a commit of which nothing is known is theirs. With
    any other event, such as a comment, it counts as a stranger's."""
    from lineal.git.ownership import Holder, Holding, holding

    found = Holding(Holder.UNKNOWN, "there is no clone")
    if isinstance(git, Repository):
        found = holding(git, project, own, requests_only=by_project)
    if found.holder is Holder.PROJECT or (found.holder is Holder.UNKNOWN and by_project):
        return
    draft.put("own", False, found.why)
    if found.holder is Holder.ELSEWHERE and by_project:
        draft.note(f"HEAD is no commit of the project ({found.why}): it gets no secret that only it names.")
        return
    draft.put("may_write", False, "no branch of the project is known to hold HEAD")
    if found.holder is Holder.REQUEST:
        draft.put("fork", True, found.why)
        why, rest = f"No branch or tag of the project holds HEAD, only {found.why}", ""
    else:
        draft.put("unproven", True, found.why)
        why = f"It is not known whose commit HEAD is ({found.why})"
        rest = " Push it to a branch of the project first, or give --allow publish (LINEAL_ALLOW) if the job made it."
    draft.note(f"{why}: it counts as a fork's. The cache is read, nothing is published.{rest}")
