"""Why a source of `COPY`, `ADD` or a mount is not in the context, and the way out: the ends of error messages."""

from __future__ import annotations

from lineal.context.build_context import BuildContext
from lineal.context.committed import COMMIT_IT, NOT_COMMITTED
from lineal.context.glob import expand, has_wildcards
from lineal.context.spelling import other_spelling
from lineal.context.tree import clamp
from lineal.context.working_tree_names import WorkingTreeNames
from lineal.errors import BadConfiguration

_BUILD_IT = (
    "Make it in a stage of the Dockerfile and copy it from there with `COPY --from`, declare it under `artifacts` in "
    "lineal-giterminism.yaml when an earlier job makes it"
)


def explain(context: BuildContext, pattern: str) -> str:
    """The reason why nothing of the context matches, and what to do."""
    path = clamp(pattern)
    if ".git" in path.split("/"):
        return (
            "the context is a commit, and a commit has no .git. Give the build what it reads there as an argument, "
            'such as `args: {COMMIT: "{{ git.commit }}"}` in lineal.yaml.'
        )
    if context.counts_as_empty(context.full(path)):
        return "it is in a submodule that lineal-giterminism.yaml declares empty."
    if context.ignore.file and (excluded := _excluded(context, pattern)):
        return f"it is excluded by {context.ignore.file}. Take it back there with `!{excluded}` as the last line."
    if other := other_spelling(path, context.children):
        return f"there is no such file in the commit{_below(context)}, but there is {other!r}: case counts."
    return _in_working_tree(context, pattern, path) or _nowhere(context, path)


def _excluded(context: BuildContext, pattern: str) -> str:
    """What `.dockerignore` would have to take back, empty when it excludes nothing that the pattern means."""
    try:
        found = expand(context.unfiltered(), pattern)
    except BadConfiguration:
        # It leads into a submodule that is not here, which is no error only as long as it is excluded.
        return clamp(pattern)
    if not found:
        return ""
    return clamp(pattern) if has_wildcards(pattern) else found[0]


def _in_working_tree(context: BuildContext, pattern: str, path: str) -> str:
    """The reason for a file that is on the disk; empty when it is not."""
    commit = context.repository
    names = WorkingTreeNames(commit.root / context.context)
    found = expand(names, pattern)
    if not found:
        return ""
    rule = commit.ignored_by([context.full(one) for one in found])
    if rule:
        return (
            f"it is in the working tree, and {rule} keeps it out of the commit. {_BUILD_IT}, or commit it with "
            "`git add --force`."
        )
    folders = [one for one in found if (node := names.lstat(one)) is not None and node.kind == "directory"]
    if len(folders) == len(found):
        rest = commit.files_on_disk(context.full(folders[0]))
        if not rest:
            return (
                "it is an empty folder, and git keeps no empty folders. Commit a file in it, such as "
                f"`{path}/.gitkeep`, or make it in the image with `WORKDIR` or `RUN mkdir`."
            )
        if rule := commit.ignored_by(rest, every=True):
            all_of_it = "all that its folder in the working tree has is kept out of the commit"
            return f"{all_of_it}, by {rule}. {_BUILD_IT}, or commit it."
    return f"it {NOT_COMMITTED} {COMMIT_IT}"


def _nowhere(context: BuildContext, path: str) -> str:
    """The reason for a file that is neither in the commit's context nor on the disk."""
    full = context.full(path)
    rule = context.repository.ignored_by([full, f"{full}/"])
    if rule:
        return (
            f"there is no such file in the commit{_below(context)}, and {rule} would keep it out: another step makes "
            f"it. {_BUILD_IT}, or commit it."
        )
    if context.context not in ("", ".") and not has_wildcards(path) and context.repository.entry(path)[0]:
        return f"there is no such file in the commit{_below(context)}. {path!r} lies outside of this context."
    return f"there is no such file in the commit{_below(context)}."


def _below(context: BuildContext) -> str:
    return "" if context.context in ("", ".") else f", below {context.context!r}"
