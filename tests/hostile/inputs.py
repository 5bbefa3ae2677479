"""Hostile inputs of all kinds: texts that grow, JSON with other values than it should have, damaged bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.sampled_from([
    None, True, 0, -1, 1.5, float("inf"), float("nan"), 10**400, 2**63, "", "x", "\ud800", "\0", "a/../b", "²", " ",
    "9" * 5000,
    "sha256:" + "0" * 64, "sha256:../x", "1e999", [], {}, [[]], [None], [1], [{}], ["a=b", 1], {"": None}, {"a": 1},
    {"digest": 1}, {"x": []},
])  # fmt: skip
"""Values that a document has where nobody expects them."""


def changed(document: Any) -> st.SearchStrategy[Any]:
    """The document with some of its values replaced, removed, or where they do not belong."""

    @st.composite
    def draw(draw: st.DrawFn) -> Any:
        found = json.loads(json.dumps(document))
        for _ in range(draw(st.integers(0, 3))):
            found = _change(draw, found)
        return found

    return draw()


def _change(draw: st.DrawFn, value: Any) -> Any:
    """One change, somewhere inside."""
    keys: Sequence[Any] = []
    if isinstance(value, dict):
        keys = sorted(value)
    elif isinstance(value, list):
        keys = range(len(value))
    if not keys or draw(st.integers(0, 5)) == 0:
        return copy.deepcopy(draw(ODD))
    key = draw(st.sampled_from(keys))
    if draw(st.integers(0, 5)) == 0:
        del value[key]
    else:
        value[key] = _change(draw, value[key])
    return value


def json_bytes(document: Any) -> st.SearchStrategy[bytes]:
    """A document as bytes, changed, damaged, or nested without an end."""
    written = changed(document).map(lambda value: json.dumps(value).encode())
    deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b'{"manifests":' + b"[" * 100_000])
    return written | damaged(json.dumps(document).encode()) | deep | st.binary(max_size=20)


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with some others in their middle, or without their end."""

    def cut(at: int, noise: bytes, whole: bool) -> bytes:
        return good[:at] + noise + (good[at + len(noise) :] if whole else b"")

    return st.builds(cut, st.integers(0, max(len(good) - 1, 0)), st.binary(max_size=8), st.booleans())


def growing(pieces: st.SearchStrategy[str], most: int = 2000) -> st.SearchStrategy[str]:
    """A text of pieces, one of them many times."""
    few = st.lists(pieces, max_size=12).map("".join)
    many = st.builds(lambda part, number: part * number, st.lists(pieces, min_size=1, max_size=4).map("".join),
                     st.integers(1, most))  # fmt: skip
    return few | st.builds(lambda *parts: "".join(parts), few, many, few)
