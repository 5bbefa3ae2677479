"""A stage: one layer-producing step of a Dockerfile with the metadata written before it (DESIGN §2).

The plan of an image is its last `Stage`: all others hang on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from lineal.context.build_context import BuildContext
from lineal.dockerfile.checksum import Inputs, checksum
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import FromInstruction, MetadataInstruction, RunInstruction
from lineal.dockerfile.scope import Scope
from lineal.errors import Location
from lineal.oci.platform import normal
from lineal.value import dataclass


@dataclass(frozen=True, eq=False)
class Stage:
    """A node of the graph. Its checksum is fixed when it is made; two images may share one."""

    op: FromInstruction | RunInstruction | CopyInstruction | None
    """The instruction that makes the layers; None for the metadata behind a target's last layer."""
    image: str
    """The image of lineal.yaml that the stage was first planned for."""
    target: str
    place: Location
    text: str
    """The instruction as written, on one line."""
    parent: Stage | None
    inputs: Inputs
    """The inputs of the checksum, without the parent's checksum."""
    scope: Scope
    metadata: tuple[MetadataInstruction, ...] = ()
    sources: dict[str, Stage] = field(default_factory=dict)
    """Stages whose files are copied or mounted, by the name used in the instruction."""
    context: BuildContext | None = None
    contexts: dict[str, BuildContext] = field(default_factory=dict)
    """Other directories of the commit that are copied or mounted, by the name used in the instruction."""
    needs: dict[str, Stage] = field(default_factory=dict)
    """Placeholder text of another image's reference -> that image's last stage."""
    platform: str = "linux/amd64"
    several: bool = False
    """Whether its image is built for several platforms, so that people have to be told which."""
    awaits: tuple[str, ...] = ()
    """The patterns of artifacts that it reads and that are not there."""
    unknown: tuple[str, ...] = ()
    """The same of all that it is made from, too: as long as there are any, nobody knows its checksum."""
    checksum: str = ""
    """While it is unknown, no checksum but a name for this run only, which no store has."""

    def __post_init__(self) -> None:
        inputs = {**self.inputs, "parent": self.parent.checksum if self.parent else None}
        unknown = {*self.awaits, *(pattern for one in self.dependencies() for pattern in one.unknown)}
        object.__setattr__(self, "unknown", tuple(sorted(unknown)))
        object.__setattr__(self, "checksum", ("unknown:" if unknown else "") + checksum(inputs))

    @property
    def placeholder(self) -> str:
        """The text that stands for an image's reference in checksums: the content of its last stage, never a tag or
        an address."""
        return f"lineal-image:{self.checksum}"

    @property
    def is_empty(self) -> bool:
        """Whether it has no files: metadata alone on scratch."""
        return self.op is None and self.parent is None and not self.makes_directories

    @property
    def makes_directories(self) -> bool:
        return any(meta.name == "WORKDIR" for meta in self.metadata)

    def dependencies(self) -> list[Stage]:
        """The stages whose content must be at hand to build this one."""
        return [*([self.parent] if self.parent else []), *self.sources.values(), *self.needs.values()]

    def last_with_files(self) -> Stage:
        """The stage that a copy from this one depends on: closing metadata has no files, unless a WORKDIR makes
        some."""
        stage = self
        while stage.op is None and stage.parent and not stage.makes_directories:
            stage = stage.parent
        return stage

    def chain(self) -> Iterator[Stage]:
        """This stage and its ancestors, the last first."""
        stage: Stage | None = self
        while stage is not None:
            yield stage
            stage = stage.parent


Parts = Mapping[str, Stage]
"""The last stage of an image for each of its platforms, in the order of lineal.yaml."""


Platforms = frozenset[str]
"""Platforms that a run is limited to, in their one spelling; empty for all."""


def ends(images: Mapping[str, Parts], platforms: Platforms = frozenset()) -> list[Stage]:
    """The last stages of the images for these platforms, by default for all."""
    every = [part for parts in images.values() for part in parts.items()]
    return [stage for platform, stage in every if not platforms or normal(platform) in platforms]


def part_of(parts: Parts, platform: str) -> Stage | None:
    """The part for a platform. An image that is for one platform only stands for itself: whoever builds on it finds
    out whether that runs."""
    found = next((stage for name, stage in parts.items() if normal(name) == normal(platform)), None)
    return found or (next(iter(parts.values())) if len(parts) == 1 else None)


def unplanned(image: str, place: Location, target: str = "") -> Stage:
    """Stands for an image or a target that cannot be planned, while the problems of others are looked for."""
    return Stage(
        op=FromInstruction(""),
        image=image,
        target=target,
        place=place,
        text="",
        parent=None,
        inputs={},
        scope=Scope(),
    )


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
