"""The files of a context that a source of COPY, ADD or a mount means, as a checksum counts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lineal.context.awaited import awaited
from lineal.context.build_context import BuildContext
from lineal.context.glob import expand, follow, has_wildcards, may_be_empty
from lineal.context.missing_source import explain
from lineal.context.path_filter import EVERYTHING, PathFilter
from lineal.context.tree import SourceTree, clamp
from lineal.errors import BadConfiguration
from lineal.value import dataclass


@dataclass(frozen=True)
class SourceFiles:
    """`roots` are the inputs: per root, its path and (path, mode, object id) of all in it. `awaits` are the patterns
    of artifacts that the source needs and that are not there."""

    roots: list[list[Any]]
    awaits: frozenset[str] = frozenset()


def source_files(
    context: BuildContext, source: str, what: str, path_filter: PathFilter = EVERYTHING, written: str = ""
) -> SourceFiles:
    """What a pattern matches, of which the filter selects. `what` is the instruction, `written` the source as it
    stands there. Raises `BadConfiguration`, without a place, where there is nothing."""
    names = context.names()
    roots = expand(names, source)
    if has_wildcards(source):
        PathFilter(source).check()
    written = written or source
    there = bool(roots) or (may_be_empty(names, source) if source == written else has_wildcards(written))
    absent = frozenset(awaited(context, source, path_filter, there=there))
    if not there:
        return _absent(context, source, what, written, absent)
    matched = list(_identities(context, roots, path_filter, wild=has_wildcards(source)))
    if path_filter.include is not None and not any(rows for _, rows in matched) and not has_wildcards(written):
        none = frozenset(awaited(context, clamp(written), path_filter, there=False))
        found = _absent(context, clamp(written), what, written, none)
        return SourceFiles(found.roots, absent | found.awaits)
    return SourceFiles(matched, absent)


def _absent(context: BuildContext, source: str, what: str, written: str, awaits: frozenset[str]) -> SourceFiles:
    if awaits:
        return SourceFiles([], awaits)
    raise BadConfiguration(f"{what} {written!r}: {explain(context, source)}", id="LN-2009")


def _identities(
    context: BuildContext, roots: Iterable[str], path_filter: PathFilter, *, wild: bool
) -> Iterator[list[Any]]:
    for root in roots:
        # A link as a source means what it points at.
        meant = follow(context.names(), root)
        folder = meant is not None and meant.kind == "directory"
        if path_filter.include is not None and not wild and not folder:
            # Nothing is below a file; one that a wildcard matches is copied, as BuildKit does.
            continue
        if path_filter and meant is not None and folder:
            yield [root, _selected(context, meant.path, path_filter)]
            continue
        also = [meant.path] if meant is not None and meant.path != root else []
        yield [root, [list(entry) for path in (root, *also) for entry in context.identity(path)]]


def _selected(context: BuildContext, root: str, path_filter: PathFilter) -> list[list[str]]:
    """(path, git mode, object id) of the entries below a directory of the context that the filter selects. A
    directory is an entry too: if none of its files is selected, it is copied empty."""
    rows = []
    for node, _ in path_filter.select(root, context.names().walk(root)):
        if node.kind == "directory":
            rows.append([node.path, "040000", ""])
        else:
            rows += [list(entry) for entry in context.identity(node.path)]
    return rows


def mounted_files(context: BuildContext, source: str) -> SourceFiles:
    """What the path of a mount means, in which wildcards are nothing special. Raises like `source_files`."""
    meant = follow(context.names(), source)
    if meant is None:
        raise BadConfiguration(
            f"RUN --mount {source!r}: there is no such file in the commit.",
            id="LN-2009",
            remedy="The source of a mount is a path: wildcards mean themselves.",
        )
    return SourceFiles([[meant.path, [list(entry) for entry in context.identity(meant.path)]]])


def may_match(tree: SourceTree, source: str) -> bool:
    """Whether a tree has something that a source means, or the source may do without."""
    return bool(expand(tree, source)) or may_be_empty(tree, source)
