"""What git lists of a commit. A context of it is found without a walk over all: a repository of a thousand images has
a thousand contexts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter

from lineal.git.objects import SUBMODULE

Entry = tuple[str, str, str]
"""(path, git mode, object id), with paths relative to the root of the commit."""


class Listing:
    """The entries of a commit, or at least those of the folders that are asked for, directories included."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def below(self, folder: str) -> Sequence[Entry]:
        """The entries below a folder, parents before their children; below "" all of them."""
        if folder == "":
            return self._entries
        # "0" is the character after "/": the range holds exactly what starts with `folder/`.
        start, end = (bisect_left(self._sorted, folder + after, key=itemgetter(0)) for after in "/0")
        return self._sorted[start:end]

    @cached_property
    def submodules(self) -> list[Entry]:
        return [entry for entry in self._entries if entry[1] == SUBMODULE]

    @cached_property
    def attribute_files(self) -> dict[str, str]:
        """The object ids of all .gitattributes, by their paths."""
        return {
            path: oid for path, mode, oid in self._entries
            if path.endswith(".gitattributes") and mode.startswith("100")
        }  # fmt: skip

    @cached_property
    def _sorted(self) -> list[Entry]:
        return sorted(self._entries)
