"""Patterns as in `.dockerignore`: the library's matcher, without the patterns that would keep it busy for years."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from e2b_dockerfile_utils import PatternMatcher

from lineal.wildcards import Part, matches

_PIECE = re.compile(r"\*\*/?|\[\^?(?:\\.|[^\]\\])*\]|\\.|.", re.DOTALL)
_FEW = 2
"""Wildcards that a regular expression may share a path among: of 4,096 bytes in a tenth of a second."""
_LETTER, _IN_NAME = re.compile("."), re.compile(r"[^/]")


def pattern_matcher(lines: Sequence[str]) -> PatternMatcher:
    """Raises `ValueError` for a malformed pattern."""
    found = PatternMatcher(list(lines))
    for pattern in found._patterns:
        parts = list(_parts("/".join(pattern.dirs)))
        if sum(part.kind != "one" for part in parts) > _FEW:
            pattern.match = partial(matches, parts)
    return found


def _parts(pattern: str) -> Iterator[Part]:
    """What the library makes of a pattern that it has cleaned and checked."""
    for found in _PIECE.finditer(pattern):
        piece = found[0]
        if piece.startswith("**"):
            yield Part("many" if found.end() == len(pattern) else "folders", _LETTER)
        elif piece in ("*", "?"):
            yield Part("many" if piece == "*" else "one", _IN_NAME)
        elif len(piece) > 1 and piece.startswith("["):
            yield Part("one", re.compile(piece))
        else:
            yield Part("one", re.compile(re.escape(piece[-1])))
