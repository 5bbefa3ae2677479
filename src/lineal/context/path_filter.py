"""`--exclude` and `--parents` of `COPY` and `ADD`: which files below a source are copied, as BuildKit decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from posixpath import dirname, normpath
from typing import Protocol, TypeVar

from lineal.context.patterns import pattern_matcher
from lineal.context.tree import clamp
from lineal.errors import BadConfiguration
from lineal.value import dataclass

_PIVOT = "/./"


class Entry(Protocol):
    """A file or directory that a filter decides about: anything that has a path and a kind."""

    @property
    def path(self) -> str: ...

    @property
    def kind(self) -> str: ...


_E = TypeVar("_E", bound=Entry)


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Patterns as in `.dockerignore`, relative to the source directory. Without `include` every file is included."""

    include: str | None = None
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.include is not None or bool(self.exclude)

    def check(self) -> None:
        """Raises `BadConfiguration` for a malformed pattern."""
        _Patterns(self.exclude)
        _Patterns((self.include or "",))

    def select(self, root: str, entries: Iterable[_E]) -> Iterator[tuple[_E, bool]]:
        """The entries below the directory `root` that are copied, parents first; the flag is false for a directory
        that only leads to one of them. `entries` come parents first."""
        includes = None if self.include is None else _Patterns((self.include,))
        excludes = _Patterns(self.exclude)
        skip = len(root) + 1 if root else 0
        waiting: dict[str, _E] = {}
        for entry in entries:
            path = entry.path[skip:]
            meant = includes is None or includes.match(path, entry.kind == "directory")
            if excludes.match(path, entry.kind == "directory") or not meant:
                if entry.kind == "directory":
                    waiting[path] = entry
                continue
            yield from ((above, False) for above in _above(path, waiting))
            yield entry, True


EVERYTHING = PathFilter()


def split(source: str) -> tuple[str, str]:
    """A source of `COPY --parents` as two parts: the directory whose path is left out (before `/./`, else the root),
    and the pattern of the files copied from there. An empty pattern matches no file."""
    root, pivot, pattern = source.partition(_PIVOT)
    return (root, clamp(pattern)) if pivot else ("", clamp(source))


def _above(path: str, waiting: dict[str, _E]) -> list[_E]:
    """The directories above `path` that have not been given yet, the highest first."""
    found = []
    while waiting and (path := dirname(path)):
        if (entry := waiting.pop(path, None)) is not None:
            found.append(entry)
    return found[::-1]


class _Patterns:
    """moby's pattern matcher, which remembers for every directory which patterns match it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        # Unlike .dockerignore's reader it knows no comments, and a slash in front matches nothing.
        usable = [_cleaned(pattern) for pattern in patterns if pattern.strip()]
        try:
            pattern_matcher(usable)  # for the complaint alone: also of those that match nothing
            self._patterns = pattern_matcher([one for one in usable if not _rooted(one)])._patterns
        except ValueError as error:
            raise BadConfiguration(
                f"{error}.", id="LN-2010", remedy="Close every '[', or escape it with a backslash."
            ) from None
        self._states: dict[str, list[bool]] = {"": [False] * len(self._patterns)}

    def match(self, path: str, directory: bool) -> bool:
        if not self._patterns:
            return False
        matched, state = False, []
        for pattern, hit in zip(self._patterns, self._states[dirname(path)], strict=True):
            hit = hit or (pattern.exclusion == matched and pattern.match(path))
            state.append(hit)
            if hit:
                matched = not pattern.exclusion
        if directory:
            self._states[path] = state
        return matched


def _rooted(pattern: str) -> bool:
    return pattern.removeprefix("!").startswith("/")


def _cleaned(pattern: str) -> str:
    text = normpath(pattern.strip())
    return "\\" + text if text.startswith("#") else text
