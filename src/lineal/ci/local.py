"""The context of a plain clone: what git says, and nothing else."""

from __future__ import annotations

from lineal.ci.context import Context, GitReader
from lineal.ci.validation import ContextBuilder, ref_name, version_order


def read(git: GitReader) -> Context:
    draft = ContextBuilder("local", git.head())
    put_branch(draft, git)
    put_tag(draft, git)
    return draft.context()


def put_branch(draft: ContextBuilder, git: GitReader) -> None:
    draft.put("branch", ref_name(git.branch(), "the checked-out branch"), "git branch")


def put_tag(draft: ContextBuilder, git: GitReader) -> None:
    """The tag at HEAD; of several the highest version, which is said."""
    tags = sorted((name for tag in git.tags_at_head() if (name := ref_name(tag, "a tag"))), key=version_order)
    if tags:
        draft.put("tag", tags[-1], "git tag")
    if len(tags) > 1:
        draft.note(f"HEAD has {len(tags)} tags; {tags[-1]} is used.")
