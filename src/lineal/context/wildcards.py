"""Patterns with wildcards, matched in a time that grows with pattern times text only.

A regular expression tries the ways in which wildcards can share a text one after the other: a pattern of a hundred
bytes that somebody commits would keep it busy for years."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """`one` letter of a class; `many`, any number of such letters; or `folders`, the same with a slash behind them,
    or nothing."""

    kind: Literal["one", "many", "folders"]
    letters: re.Pattern[str]


@lru_cache(maxsize=256)
def path_pattern(pattern: str) -> list[Part]:
    """A pattern of `lineal-giterminism.yaml`: `**/` is any number of directories, `**` anything, `*` and `?` stay
    inside one name, and a slash at the end means everything below."""
    if pattern.endswith("/"):
        pattern += "**"
    anything, in_name = re.compile(".", re.DOTALL), re.compile("[^/]")
    special = {
        "**/": Part("folders", anything), "**": Part("many", anything), "*": Part("many", in_name),
        "?": Part("one", in_name),
    }  # fmt: skip
    pieces = re.findall(r"\*\*/|\*\*|.", pattern.removeprefix("./"), re.DOTALL)
    return [special.get(piece) or Part("one", re.compile(re.escape(piece))) for piece in pieces]


def matches(parts: Sequence[Part], text: str) -> bool:
    """Whether the parts, one after the other, are the whole text."""
    reached = {0}
    """How much of the text the parts so far can be."""
    for part in parts:
        if part.kind == "one":
            reached = {at + 1 for at in reached if at < len(text) and part.letters.match(text[at])}
            continue
        stretched = _stretched(reached, part.letters, text)
        if part.kind == "many":
            reached = stretched
        else:
            reached |= {at + 1 for at in stretched if text.startswith("/", at)}
    return len(text) in reached


def _stretched(starts: set[int], letters: re.Pattern[str], text: str) -> set[int]:
    """Every place to which letters of a class lead from one of the starts."""
    found: set[int] = set()
    going = False
    for at in range(len(text) + 1):
        going = going or at in starts
        if going:
            found.add(at)
            going = at < len(text) and letters.match(text[at]) is not None
    return found
