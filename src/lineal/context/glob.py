"""Sources of `COPY` and `ADD`: Go's `filepath.Match`, and its expansion in a tree as BuildKit does it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from posixpath import dirname

from lineal.context.tree import MAX_LINKS, Node, SourceTree, Unresolvable, clamp, resolve_links
from lineal.errors import BadConfiguration


def has_wildcards(pattern: str) -> bool:
    """Whether the pattern may match several names: an unescaped `*`, `?` or `[`."""
    return re.search(r"[*?[]", re.sub(r"\\.", "", pattern)) is not None


def fixed(pattern: str) -> str:
    """The part of a pattern before the first component with a wildcard; all of it when no component has one."""
    parts = clamp(pattern).split("/")
    return "/".join(parts[: next((at for at, part in enumerate(parts) if has_wildcards(part)), len(parts))])


def may_be_empty(tree: SourceTree, pattern: str) -> bool:
    """Whether a pattern without a match is accepted and copies nothing. As in BuildKit, it is when the directory
    before its wildcards exists; otherwise the pattern is as wrong as the path of a missing file."""
    return has_wildcards(pattern) and follow(tree, fixed(pattern)) is not None


def expand(tree: SourceTree, pattern: str) -> list[str]:
    """The paths that a source means, in the order in which BuildKit copies them; nothing is read but names.

    The last component may be a symbolic link (BuildKit copies what it points at, under the link's name: see
    `follow`); links in the components before it have been followed. A plain path that is not there and a wildcard
    without matches both give an empty list. Raises `BadConfiguration` for a malformed pattern."""
    parts = clamp(pattern).split("/")
    fixed = next((number for number, part in enumerate(parts) if has_wildcards(part)), len(parts))
    if fixed < len(parts):
        start = follow(tree, "/".join(parts[:fixed]))
        matchers = [compile(part) for part in parts[fixed:]]
        return [] if start is None or start.kind != "directory" else list(_matches(tree, start.path, matchers))
    path = _locate(tree, "/".join(parts))
    return [path] if path is not None and follow(tree, path) is not None else []


def follow(tree: SourceTree, path: str) -> Node | None:
    """The node that a path means when every link in it is followed inside the tree; None when there is none."""
    for _ in range(MAX_LINKS):
        place = _locate(tree, path)
        node = None if place is None else tree.lstat(place)
        if node is None or node.kind != "symlink":
            return node
        path = beside(node.path, node.target)
    return None


def beside(link: str, target: str) -> str:
    """Where a link's target is, seen from the root; `..` is left for the walk, since links may come before it."""
    return target if target.startswith("/") else f"{dirname(link)}/{target}"


def _locate(tree: SourceTree, path: str) -> str | None:
    """The path with links in all components but the last one followed; None when one of them is missing."""

    def link_at(parts: list[str]) -> str | None:
        node = tree.lstat("/".join(parts))
        if node is None or node.kind not in ("directory", "symlink"):
            raise Unresolvable("leads through what is no directory")
        return node.target if node.kind == "symlink" else None

    try:
        return "/".join(resolve_links(path, link_at, last=False))
    except Unresolvable:
        return None


def _matches(tree: SourceTree, directory: str, matchers: list[re.Pattern[str]]) -> Iterator[str]:
    for name in sorted(tree.children(directory), key=os.fsencode):
        if not matchers[0].match(name):
            continue
        path = f"{directory}/{name}" if directory else name
        if len(matchers) == 1:
            yield path
        elif (node := tree.lstat(path)) is not None and node.kind == "directory":
            yield from _matches(tree, path, matchers[1:])


@lru_cache(maxsize=256)
def compile(pattern: str) -> re.Pattern[str]:
    """Go's `filepath.Match` as a regular expression for `.match`. Raises `BadConfiguration`.

    What follows a `*` is matched at its first place and never tried again (unless it is the end), which finds
    every match that there is and takes linear time on hostile patterns too."""
    chunks = [""]
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "*":
            if len(chunks) == 1 or chunks[-1]:
                chunks.append("")
            at += 1
        elif letter == "?":
            chunks[-1] += "[^/]"
            at += 1
        elif letter == "[":
            text, at = _class(pattern, at + 1)
            chunks[-1] += text
        else:
            literal, at = _literal(pattern, at)
            chunks[-1] += re.escape(literal)
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1])
    end = f"[^/]*{chunks[-1]}" if len(chunks) > 1 else ""
    return re.compile(rf"(?s:{chunks[0]}{middle}{end})\Z")


def _class(pattern: str, at: int) -> tuple[str, int]:
    negated = pattern.startswith("^", at)
    at += negated
    ranges = ""
    count = 0
    while not (pattern.startswith("]", at) and count):
        if at >= len(pattern) or pattern[at] in "-]":
            raise _bad(pattern)
        low, at = _literal(pattern, at)
        high = low
        if pattern.startswith("-", at):
            if at + 1 >= len(pattern) or pattern[at + 1] in "-]":
                raise _bad(pattern)
            high, at = _literal(pattern, at + 1)
        if low <= high:
            ranges += f"{re.escape(low)}-{re.escape(high)}"
        count += 1
    if not ranges:
        return (r"[\s\S]" if negated else r"(?!)"), at + 1
    return f"[{'^' if negated else ''}{ranges}]", at + 1


def _literal(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "\\":
        at += 1
        if at == len(pattern):
            raise _bad(pattern)
    return pattern[at], at + 1


def _bad(pattern: str) -> BadConfiguration:
    return BadConfiguration(
        f"The pattern {pattern!r} is malformed.",
        id="LN-2010",
        remedy="Close every '[' with ']', or escape it with a backslash.",
    )
