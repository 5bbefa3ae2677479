"""A stage: one layer-producing step of a Dockerfile with the metadata written before it (DESIGN §2).

An image is planned from a `PlanRequest`, and the plan is its last `Stage`: all others hang on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lineal.context.build_context import BuildContext
from lineal.dockerfile.checksum import checksum
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import MetadataInstruction, RunInstruction
from lineal.dockerfile.scope import Scope
from lineal.errors import Location

StageKind = Literal["from", "run", "copy", "close"]


@dataclass(frozen=True, eq=False)
class Stage:
    """A node of the graph. Its checksum is fixed when it is made; two images may share one."""

    kind: StageKind
    image: str
    """The image of lineal.yaml that it was first planned for."""
    target: str
    place: Location
    text: str
    """The instruction as written, on one line."""
    parent: Stage | None
    inputs: dict[str, Any]
    """What the checksum is made of, the parent's checksum not included."""
    scope: Scope
    metadata: tuple[MetadataInstruction, ...] = ()
    step: RunInstruction | CopyInstruction | None = None
    reference: str = ""
    """For `from`: the external image's reference as written."""
    sources: dict[str, Stage] = field(default_factory=dict)
    """Stages whose files are copied or mounted, by the name used in the instruction."""
    context: BuildContext | None = None
    needs: dict[str, Stage] = field(default_factory=dict)
    """Placeholder text of another image's reference -> that image's last stage."""
    platform: str = "linux/amd64"
    checksum: str = ""

    def __post_init__(self) -> None:
        inputs = {**self.inputs, "parent": self.parent.checksum if self.parent else None}
        object.__setattr__(self, "checksum", checksum(inputs))

    @property
    def placeholder(self) -> str:
        """The text that stands for an image's reference in checksums: the content of its last stage, never a tag or
        an address."""
        return f"lineal-image:{self.checksum}"

    def dependencies(self) -> list[Stage]:
        """The stages whose content must be at hand to build this one."""
        return [*([self.parent] if self.parent else []), *self.sources.values(), *self.needs.values()]

    def chain(self) -> Iterator[Stage]:
        """This stage and its ancestors, the last first."""
        stage: Stage | None = self
        while stage is not None:
            yield stage
            stage = stage.parent


@dataclass(frozen=True)
class PlanRequest:
    """One image of lineal.yaml, with everything that planning it needs."""

    name: str
    file: str
    text: str
    context: BuildContext
    platform: str
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple[str, Stage]] = field(default_factory=dict)
    """Build argument -> another image, by its name and its last stage."""
    cache_version: str = ""
    siblings: Collection[str] = ()
    """The names of all images of lineal.yaml."""
    unpinned: Callable[[str], bool] = lambda _: False
    """Whether a remote source of ADD may be one whose content its text does not fix."""


def closure(stages: list[Stage]) -> list[Stage]:
    """The stages and everything they depend on, dependencies first, each checksum once."""
    ordered: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        stack = [(stage, iter(stage.dependencies()))]
        seen = {stage.checksum}
        while stack:
            current, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                ordered.setdefault(current.checksum, current)
            elif following.checksum not in ordered and following.checksum not in seen:
                seen.add(following.checksum)
                stack.append((following, iter(following.dependencies())))

    for stage in stages:
        if stage.checksum not in ordered:
            visit(stage)
    return list(ordered.values())
