"""Patterns as in `.dockerignore`: the library's matcher, without the patterns that would keep it busy for years."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from e2b_dockerfile_utils import PatternMatcher

from lineal.context.wildcards import Part, matches
from lineal.regex import regex

_PIECE = regex(r"\*\*/?|\[\^?(?:\\.|[^\]\\])*\]|\\.|.", re.DOTALL)
MOST = 1000
"""Patterns of one `.dockerignore` or one instruction. Each is tried at each file."""
_WAYS = 2_000_000
"""Ways to share a path among its wildcards that a regular expression may have to try: some hundredths of a second."""
_OF_SETS = regex(r"\\.|[\[&~|]", re.DOTALL)
# Python warns of `[[` and `[a&&b]` in expressions, which may mean sets of sets one day; the library writes such ones.
warnings.filterwarnings("ignore", "Possible (nested )?set", FutureWarning)
_LETTER, _IN_NAME = regex("."), regex(r"[^/]")


def pattern_matcher(lines: Sequence[str], ways: int = _WAYS) -> PatternMatcher:
    """A regular expression has at most so many `ways` to try. Raises `ValueError` for a malformed pattern."""
    if sum(bool(line.strip()) and not line.startswith("#") for line in lines) > MOST:
        raise ValueError(f"There are more than {MOST} patterns, which take too long")
    found = PatternMatcher(list(lines))
    for pattern in found._patterns:
        parts = list(_parts("/".join(pattern.dirs)))
        wildcards = sum(part.kind != "one" for part in parts)
        pattern.match = partial(_match, pattern.match, parts, wildcards, ways)
    return found


def _match(by_expression: Callable[[str], bool], parts: Sequence[Part], wildcards: int, ways: int, path: str) -> bool:
    """By the regular expression, which is the faster one, where it has few ways to try. One wildcard alone may mean
    the end of a name, too (`**.py`), which only the library knows."""
    return by_expression(path) if wildcards < 2 or len(path) ** wildcards <= ways else matches(parts, path)


def _parts(pattern: str) -> Iterator[Part]:
    """What the library makes of a pattern that it has cleaned and checked."""
    for found in _PIECE.finditer(pattern):
        piece = found[0]
        if piece.startswith("**"):
            yield Part("many" if found.end() == len(pattern) else "folders", _LETTER)
        elif piece in ("*", "?"):
            yield Part("many" if piece == "*" else "one", _IN_NAME)
        elif len(piece) > 1 and piece.startswith("["):
            yield Part("one", re.compile("[" + _OF_SETS.sub(_escaped, piece[1:])))
        else:
            yield Part("one", re.compile(re.escape(piece[-1])))


def _escaped(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) > 1 else f"\\{found[0]}"
