"""A path that differs from the one that was written in upper and lower case, or in how accents are stored."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection


def other_spelling(path: str, children: Callable[[str], Collection[str]]) -> str:
    """The path as the tree has it, empty when it has none or exactly this one. `children` gives a folder's names, the
    root being empty."""
    place = ""
    for part in path.split("/"):
        names = children(place)
        found = part if part in names else next((name for name in names if _folded(name) == _folded(part)), None)
        if found is None:
            return ""
        place = f"{place}/{found}" if place else found
    return "" if place == path else place


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
