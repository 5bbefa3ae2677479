"""What planning an image needs: an image of lineal.yaml with everything that it refers to at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lineal.context.tree import SourceTree
from lineal.dockerfile.stage import Stage


class Context(SourceTree, Protocol):
    def identity(self, path: str) -> list[tuple[str, str, str]]:
        """Sorted (path, git mode, object id) of what a copy of `path` depends on."""

    def names(self) -> SourceTree:
        """The tree for finding paths, without sizes."""

    def missing(self, path: str) -> str:
        """Why `path` is not there, as the end of a sentence: uncommitted, ignored or absent."""


@dataclass(frozen=True)
class PlanRequest:
    """What one image of lineal.yaml needs to be planned. `needs` maps a build argument to another image and its
    last stage."""

    name: str
    file: str
    text: str
    context: Context
    platform: str
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, Stage]] = field(default_factory=dict)
    cache_version: str = ""
    siblings: Collection[str] = ()
    """The names of all images of lineal.yaml."""
    unpinned: Callable[[str], bool] = lambda _: False
    """Whether a remote source of ADD may be one whose content its text does not fix."""


def placeholder(stage: Stage) -> str:
    """What stands for an image's reference in checksums: its content, never its tag or address."""
    return f"lineal-image:{stage.checksum}"
