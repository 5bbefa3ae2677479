"""Artifacts that an instruction needs and that are not there: an earlier job has not made them, or not here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile

from lineal.context.artifacts import means
from lineal.context.build_context import BuildContext
from lineal.context.glob import compile as compile_pattern
from lineal.context.glob import has_wildcards
from lineal.context.path_filter import PathFilter
from lineal.context.tree import Node, SourceTree, Unresolvable, clamp, resolve_links
from lineal.context.wildcards import matches, path_pattern
from lineal.git.repository import folders_above


def awaited(context: BuildContext, source: str, chosen: PathFilter, *, there: bool) -> list[str]:
    """The patterns of artifacts that a source needs: those that mean no file at all and may mean one of the source's;
    of a source that is not `there`, all that may mean it. `chosen` limits what is taken of the source.

    What git has is there as well, but for placeholders: files whose name begins with a dot."""
    artifacts = context.artifacts
    if not artifacts:
        return []
    wanted = _meant(context, source)
    found = artifacts.unmatched() if there else artifacts.patterns
    needed = [pattern for pattern in found if _needs(context, wanted, pattern, chosen)]
    return [pattern for pattern in needed if not (there and _committed(context, pattern))]


def _committed(context: BuildContext, pattern: str) -> bool:
    files = (path for path in context.files() if not path.rpartition("/")[2].startswith("."))
    return any(means(pattern, one) for path in map(context.full, files) for one in (*folders_above(path), path))


def _meant(context: BuildContext, source: str) -> str:
    """The source's path or pattern in the repository, the links before its first wildcard followed."""
    parts = clamp(source).split("/")
    fixed = list(takewhile(lambda part: not has_wildcards(part), parts))
    tree: SourceTree = context.names()

    def link_at(place: list[str]) -> str | None:
        node = tree.lstat("/".join(place))
        return node.target if node is not None and node.kind == "symlink" else None

    with suppress(Unresolvable):
        parts = [*resolve_links("/".join(fixed), link_at, last=True), *parts[len(fixed) :]]
    return context.full("/".join(parts)).rstrip("/")


def _needs(context: BuildContext, wanted: str, pattern: str, chosen: PathFilter) -> bool:
    if not _meet(wanted, pattern) or (chosen.include and not _meet(_below(wanted, chosen.include), pattern)):
        return False
    example = _example(pattern, context.full("").rstrip("/"))
    if example is None:
        return True
    inside = example[len(context.full("")) :]
    if context.ignore.excludes(inside) and not any(map(context.ignore.may_keep_below, folders_above(inside))):
        return False
    return not _excluded(example, wanted, chosen.exclude)


def _below(folder: str, pattern: str) -> str:
    return f"{folder}/{pattern}" if folder else pattern


def _meet(source: str, pattern: str) -> bool:
    """Whether something at or below a match of the source may be at or below a match of the pattern."""
    ours = source.split("/") if source else []
    theirs = pattern.removeprefix("./").rstrip("/").split("/")
    for one, other in zip(ours, theirs, strict=False):
        if "**" in one or "**" in other:
            return True
        if not _names_meet(one, other):
            return False
    return True


def _names_meet(source: str, pattern: str) -> bool:
    """Whether a name may match both: of two with wildcards their beginnings and ends decide."""
    if not has_wildcards(source):
        return matches(path_pattern(pattern), re.sub(r"\\(.)", r"\1", source))
    if not re.search(r"[*?]", pattern):
        return compile_pattern(source).match(pattern) is not None
    first, other = re.split(r"[*?[\\]", source)[0], re.split(r"[*?]", pattern)[0]
    last, end = re.split(r"[*?\]\\]", source)[-1], re.split(r"[*?]", pattern)[-1]
    shorter, longer = sorted((first, other), key=len)
    short, long = sorted((last, end), key=len)
    return longer.startswith(shorter) and long.endswith(short)


def _example(pattern: str, folder: str) -> str | None:
    """A path that the pattern means, in a folder; None when it is not known where that is."""
    path = re.sub(r"[*?]+", "artifact", pattern.removeprefix("./").rstrip("/"))
    if folder and not path.startswith(folder + "/"):
        return f"{folder}/{path}" if pattern.startswith("**/") else None
    return path


def _excluded(example: str, source: str, patterns: tuple[str, ...]) -> bool:
    """Whether `--exclude` leaves the path out of a source that is a folder above it."""
    if not patterns or (source and not example.startswith(source + "/")):
        return False
    return not any(
        node.path == example for node, _ in PathFilter(None, patterns).select(source, _nodes(example, source))
    )


def _nodes(path: str, folder: str) -> Iterator[Node]:
    """A file and the folders that it is in, below another."""
    for above in folders_above(path):
        if len(above) > len(folder):
            yield Node(above, "directory", 0o755)
    yield Node(path, "file", 0o644)


def shown(pattern: str) -> str:
    """A pattern in few words: `web/dist` for all that is in there."""
    return re.sub(r"(/\*\*)?/?$", "", pattern.removeprefix("./")) or pattern
