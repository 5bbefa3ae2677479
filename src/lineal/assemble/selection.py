"""Which paths of an image the sources of a `COPY --from` mean, decided by its filesystem index alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from posixpath import basename, dirname

from lineal.assemble.filesystem import Filesystem
from lineal.assemble.unpacked_layer import Inside
from lineal.context import glob
from lineal.context.tree import clamp
from lineal.errors import BuildFailed


class Selection:
    """Exact paths, and patterns for the names in a directory; all with everything below them. Paths are resolved."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        self._files: dict[str, int] = {}
        """Paths that are no directories, with the lowest layer where they can be."""
        self._trees: dict[str, int] = {}
        self._patterns: dict[str, list[re.Pattern[str]]] = {}
        self._pattern_floor: int | None = None
        self._above: set[str] = set()
        self._inside = Inside(self._names)
        for path in files:
            self._file(path, 0)

    @staticmethod
    def of(filesystem: Filesystem, sources: Iterable[str]) -> Selection:
        selection = Selection()
        for source in sources:
            selection._add(filesystem, clamp(source).split("/"))
        return selection

    def covers(self, path: str) -> bool:
        return path in self._files or self._inside(path)

    def touches(self, path: str) -> bool:
        """Whether what is at this path decides about something that is wanted: about itself, or what is below it."""
        return path in self._above or self.covers(path)

    def needs(self, layer: int, is_settled: Callable[[str], bool]) -> bool:
        """Whether this layer or one below it can hold something that is wanted and not settled yet."""
        if self._pattern_floor is not None and self._pattern_floor <= layer:
            return True
        if any(floor <= layer for floor in self._trees.values()):
            return True
        return any(floor <= layer and not is_settled(path) for path, floor in self._files.items())

    def _names(self, path: str) -> bool:
        if path in self._trees:
            return True
        patterns = self._patterns.get(dirname(path), ()) if path else ()
        return any(pattern.match(basename(path)) for pattern in patterns)

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
                self._pattern(filesystem, place, matcher)

    def _pattern(self, filesystem: Filesystem, place: str, matcher: re.Pattern[str]) -> None:
        self._patterns.setdefault(place, []).append(matcher)
        self._lead(f"{place}/x" if place else "x")
        floor = filesystem.directories[place].layer
        self._pattern_floor = floor if self._pattern_floor is None else min(floor, self._pattern_floor)
        for link in filesystem.symlinks:
            if dirname(link) == place and matcher.match(basename(link)):
                with suppress(BuildFailed):  # it leads in circles, which is said where it is copied
                    self._path(filesystem, link)

    def _path(self, filesystem: Filesystem, path: str) -> None:
        place = filesystem.resolve(path)
        if place in filesystem.directories:
            self._trees[place] = filesystem.directories[place].layer
            self._lead(place)
        elif dirname(place) in filesystem.directories:
            self._file(place, filesystem.directories[dirname(place)].layer)

    def _file(self, path: str, floor: int) -> None:
        self._files[path] = floor
        self._lead(path)

    def _lead(self, path: str) -> None:
        while (path := dirname(path)) and path not in self._above:
            self._above.add(path)
