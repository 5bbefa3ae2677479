"""Which paths of an image the sources of a `COPY --from` mean, decided by its filesystem index alone."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from posixpath import basename, dirname

from lineal.assemble.filesystem import Filesystem
from lineal.context import glob
from lineal.context.tree import clamp


@dataclass(slots=True)
class Selection:
    """Exact paths, and patterns for the names in a directory; all with everything below them. Paths are resolved."""

    files: dict[str, int] = field(default_factory=dict)
    """Paths that are no directories, with the lowest layer where they can be."""
    trees: dict[str, int] = field(default_factory=dict)
    patterns: dict[str, list[re.Pattern[str]]] = field(default_factory=dict)
    _pattern_floor: int | None = None
    _covered: dict[str, bool] = field(default_factory=dict)

    @staticmethod
    def of(filesystem: Filesystem, sources: Iterable[str]) -> Selection:
        selection = Selection()
        for source in sources:
            selection._add(filesystem, clamp(source).split("/"))
        return selection

    @staticmethod
    def exactly(paths: Iterable[str]) -> Selection:
        return Selection(files=dict.fromkeys(paths, 0))

    def covers(self, path: str) -> bool:
        if path in self.files:
            return True
        known = self._covered.get(path)
        if known is None:
            parent = dirname(path)
            known = path in self.trees or (path != "" and (self.covers(parent) or self._matches(parent, path)))
            self._covered[path] = known
        return known

    def needs(self, layer: int, found: Container[str]) -> bool:
        """Whether this layer or one below it can hold something that is wanted and not found yet."""
        if self._pattern_floor is not None and self._pattern_floor <= layer:
            return True
        if any(floor <= layer for floor in self.trees.values()):
            return True
        return any(floor <= layer and path not in found for path, floor in self.files.items())

    def _matches(self, parent: str, path: str) -> bool:
        return any(pattern.match(basename(path)) for pattern in self.patterns.get(parent, ()))

    def _add(self, filesystem: Filesystem, parts: list[str]) -> None:
        fixed = next((number for number, part in enumerate(parts) if glob.has_wildcards(part)), len(parts))
        if fixed == len(parts):
            self._path(filesystem, "/".join(parts))
            return
        places = [filesystem.resolve("/".join(parts[:fixed]))]
        if places[0] not in filesystem.directories:
            # A file there matches nothing below it, which is no error; its absence is one.
            self._path(filesystem, places[0])
        for part in parts[fixed:-1]:
            matcher = glob.compile(part)
            starts = set(places)
            places = [
                path
                for path in filesystem.directories
                if path and dirname(path) in starts and matcher.match(basename(path))
            ]
        matcher = glob.compile(parts[-1])
        for place in places:
            if place in filesystem.directories:
                self._names(filesystem, place, matcher)

    def _names(self, filesystem: Filesystem, place: str, matcher: re.Pattern[str]) -> None:
        self.patterns.setdefault(place, []).append(matcher)
        floor = filesystem.directories[place].layer
        self._pattern_floor = floor if self._pattern_floor is None else min(floor, self._pattern_floor)
        for link in filesystem.symlinks:
            if dirname(link) == place and matcher.match(basename(link)):
                self._path(filesystem, link)

    def _path(self, filesystem: Filesystem, path: str) -> None:
        place = filesystem.resolve(path)
        if place in filesystem.directories:
            self.trees[place] = filesystem.directories[place].layer
        elif dirname(place) in filesystem.directories:
            self.files[place] = filesystem.directories[dirname(place)].layer
