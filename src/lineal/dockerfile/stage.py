"""A stage: one layer-producing step of a Dockerfile with the metadata written before it (DESIGN §2).

An image is planned from a `PlanRequest`, and the plan is its last `Stage`: all others hang on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from lineal.context.build_context import BuildContext
from lineal.dockerfile.checksum import Inputs, checksum
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import FromInstruction, MetadataInstruction, RunInstruction
from lineal.dockerfile.scope import Scope
from lineal.errors import Location
from lineal.progress import QUIET, Notes


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

    def chain(self) -> Iterator[Stage]:
        """This stage and its ancestors, the last first."""
        stage: Stage | None = self
        while stage is not None:
            yield stage
            stage = stage.parent


@dataclass(frozen=True)
class NamedContext:
    """What a name of `contexts:` stands for: one of a directory of the commit (`tree`), another image (`stage`), an
    image of a registry (`reference`) and a git repository (`git`)."""

    name: str
    place: Location
    tree: BuildContext | None = None
    stage: Stage | None = None
    reference: str = ""
    git: str = ""


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
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    """By the shortest spelling of the name."""
    run_options: Inputs = field(default_factory=dict)
    """Those options of `RUN` that may change what it makes, as given."""
    siblings: Collection[str] = ()
    """The names of all images of lineal.yaml."""
    unpinned: Callable[[str], bool] = lambda _: False
    """Whether the project names a remote source of ADD as one whose content its text does not fix."""
    pinned: bool = False
    """Whether the text of every other one has to fix its content."""
    inside: Callable[[str], bool] = lambda _: False
    """Whether the content of a remote source, without such a text, may come from a service of this network."""
    notes: Notes = QUIET


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
