"""Symbolic links of an image, followed inside its root."""

from __future__ import annotations

from collections.abc import Mapping

from lineal.context.tree import Unresolvable, clamp, resolve_links
from lineal.errors import BuildFailed
from lineal.tar.reader import MAX_PATH
from lineal.text import printable

MAX_DEPTH = MAX_PATH // 2
"""Names in the longest path."""


def resolve(symlinks: Mapping[str, str], path: str, *, last: bool = True, root: str = "") -> str:
    """`path` with links followed, in the last component only if `last`, seen from `root` (a resolved directory) as if
    it were the root of all. What does not exist is kept as it is. Raises `BuildFailed` for links in circles."""
    try:
        return follow(symlinks, path, last=last, root=root)
    except Unresolvable as error:
        raise BuildFailed(f"/{printable(clamp(path))} {error}.", id="LN-5015") from None


def follow(symlinks: Mapping[str, str], path: str, *, last: bool = True, root: str = "") -> str:
    """As `resolve`, but raises `Unresolvable`."""

    def link_at(parts: list[str]) -> str | None:
        return symlinks.get("/".join([root, *parts] if root else parts))

    done = resolve_links(path, link_at, last=last, deepest=MAX_DEPTH)
    return "/".join([root, *done] if root and done else done) if done else root
