"""Uncommitted changes of the files that a run reads (DESIGN G7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.glob import compile as compile_pattern
from lineal.context.listing import Listing
from lineal.context.tree import clamp
from lineal.errors import Uncommitted
from lineal.git.commit import Commit
from lineal.git.repository import Change
from lineal.value import dataclass

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ReadPaths:
    """Source patterns of instructions, and the context that they are matched in."""

    context: BuildContext
    patterns: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Whether one of the instructions would read this path of the repository if it were committed."""
        prefix = "" if self.context.context in ("", ".") else self.context.context + "/"
        if self.context.counts_as_empty(path) or path in self.context.artifacts:
            return False
        if not path.startswith(prefix) or self.context.ignore.excludes(path[len(prefix) :]):
            return False
        parts = path[len(prefix) :].split("/")
        return any(_leads_to(pattern, parts) for pattern in self.patterns)


def find(
    repository: Commit, files: Iterable[str], folders: Iterable[str], readings: Sequence[ReadPaths]
) -> list[Change]:
    """The changes of files that the run reads: single files, whole folders (a chart), and sources of instructions."""
    exact = {one for file in files for one in repository.follow(file).read}
    whole = set(folders)
    asked = exact | whole | {reading.context.context for reading in readings}
    if not asked:
        return []

    modules = _submodules(repository, exact, whole, readings)

    def read(path: str) -> bool:
        return (
            path in exact
            or path in modules
            or any(folder in ("", ".") or path.startswith(folder + "/") for folder in whole)
            or any(reading.covers(path) for reading in readings)
        )

    return list(_changes(repository, modules, asked, read))


def _submodules(
    repository: Commit, files: set[str], folders: set[str], readings: Sequence[ReadPaths]
) -> dict[str, Commit]:
    """The submodules that the run reads files of, by their path."""
    found = {path: module for reading in readings for path, module in reading.context.submodules.items()}
    for folder in folders:
        listing = repository.listing([folder])
        if any(mode == "160000" for _, mode, _ in listing):
            tree = BuildContext(repository, "", Listing(listing), Ignore.none())
            tree.below("" if folder == "." else folder)
            found |= tree.submodules
    inside = {path: module for path, module in repository.submodules().items()
              if any(file.startswith(path + "/") for file in files)}  # fmt: skip
    return found | inside


def _changes(
    repository: Commit, modules: Mapping[str, Commit], asked: set[str], read: Callable[[str], bool]
) -> Iterator[Change]:
    # git does not look into a submodule for a path in there.
    outside = {path for path in asked if not any(path.startswith(module + "/") for module in modules)}
    for prefix, part in [("", repository), *((path + "/", modules[path]) for path in sorted(modules))]:
        if part.root == part.git_dir:
            # It is not checked out: nobody can have changed it.
            continue
        for change in part.changes([""] if prefix else sorted(outside | modules.keys())):
            if not read(prefix + change.path):
                continue
            if change.what == "modified" and change.oid and part.lfs.unchanged(change.path, change.oid):
                continue
            yield replace(change, path=prefix + change.path)


def refuse(changes: Sequence[Change], tolerated: Callable[[str], bool], warn: Callable[[str], None]) -> None:
    """Warn of each change that is tolerated and left out. Raises `Uncommitted` when there are others."""
    refused = [change for change in changes if not tolerated(change.path)]
    for change in changes:
        if change not in refused:
            warn(f"{change.path} is {change.what}; the commit is built, without that.")
    if refused:
        names = ", ".join(f"{change.path} ({change.what})" for change in refused[:_SHOWN])
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise Uncommitted(
            f"Uncommitted changes would influence the result: {names}{more}.",
            id="LN-3001",
            remedy="Commit them, build the working tree with --dev, or leave them out with --ignore-uncommitted.",
        )


def _leads_to(pattern: str, parts: Sequence[str]) -> bool:
    """Whether the pattern matches the path or a directory above it."""
    wanted = [part for part in clamp(pattern).split("/") if part]
    if len(wanted) > len(parts):
        return False
    return all(compile_pattern(want).match(part) for want, part in zip(wanted, parts, strict=False))
