"""One way in which a project builds a Dockerfile, as its own files say it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

UNKNOWN = "unknown"
"""Stands for a value that only a run of the project's own pipeline knows."""
GUESSED = "guessed"


@dataclass(frozen=True, slots=True)
class Build:
    """Paths are relative to the checkout's root. `source` is the file that says so, or `GUESSED`."""

    dockerfile: str
    context: str
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    source: str = GUESSED
    name: str = ""
    """What the file calls it: a service, a target, the last part of a tag."""
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    """The rules of docker/metadata-action that make tags; `tags` are names without them."""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)
    """Named contexts, as they are written."""
    pushed: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for builds that differ in their source alone."""
        return self.dockerfile, self.context, self.target, tuple(sorted(self.args.items()))

    def __str__(self) -> str:
        target = f", target {self.target}" if self.target else ""
        return f"context {self.context}{target}, {self.source}"


def inside(folder: str, path: str) -> str | None:
    """A path as seen from a folder of the checkout; None for what is elsewhere, or what only a run knows."""
    if "://" in path or UNKNOWN in path or path.startswith(("/", "~", "git@", "target:")) or "\\" in path:
        return None
    found = posixpath.normpath(posixpath.join(folder, path))
    return None if found.startswith("..") else found
