"""The environment of a build: stages at hand, and where to read, run and write."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lineal.assemble.filesystem import Filesystem
from lineal.build.proxies import JobProxies
from lineal.config.giterminism import Giterminism
from lineal.context.tree import SourceTree
from lineal.engine import Engines, RunOptions
from lineal.oci import Store
from lineal.oci.types import Image
from lineal.progress import QUIET, Notes
from lineal.stages.candidate import Candidate
from lineal.store.statement import NOBODY, Builder, Dependency

if TYPE_CHECKING:
    from lineal.caches.run import RunCaches
    from lineal.store.arriving import Arrivals


@dataclass(frozen=True)
class StageImage:
    """A stage whose content is at hand in the store; `reference` is `repository:tag@digest`."""

    image: Image
    filesystem: Filesystem
    reference: str


class Secrets(Protocol):
    def value(self, image: str, name: str) -> bytes | None:
        """A secret's value for an image, None when none is configured under this id."""

    def beside(self, image: str, name: str) -> str | None:
        """What a stage that used the secret remembers of its source, None for nothing."""

    def mask(self, line: str) -> str:
        """The line without any secret's value."""


@dataclass(frozen=True)
class BuildEnvironment:
    """Everything that each stage builder works with."""

    store: Store
    base_store: Callable[[str], tuple[Store, str]]
    """External reference -> the store it is in and the tag or digest there."""
    engine: Engines
    secrets: Secrets
    proxies: JobProxies
    project: str
    line: str
    """Who may push what is built: see `Context.line`."""
    may_write: bool
    """False for a run that publishes nothing: others must not build on what it makes."""
    workspace: Path
    began: float = field(default_factory=time.time)
    """By the clock of this machine."""
    agents: Callable[[str, str], Path | None] = lambda _image, _id: None
    """The socket of the SSH agent that an image calls by this id, None when none is configured."""
    exceptions: Giterminism = field(default_factory=Giterminism)
    notes: Notes = QUIET
    keep: Callable[[Arrivals], bool] = lambda _: False
    """Have `store` read these blobs from this machine, and close them with it; False when it does not keep them."""
    finished: Callable[[Candidate, Image], str | None] = lambda _stage, _image: None
    """The reference of the finished image that a published stage becomes, None when it becomes none."""
    options: Mapping[str, RunOptions] = field(default_factory=dict)
    """How the commands of each image run."""
    builder: Builder = NOBODY
    """Who builds, for statements."""
    caches: RunCaches | None = None
    """The cache mounts that outlive the engine; None when there are none."""
    allowed: Collection[str] = ()
    """What the caller lets a `RUN` have beside what every container has: see `NETWORK_HOST` and its like."""

    def opens(self, source: str) -> bool:
        """Whether an `ADD` may bring this from a service of this network although nothing pins it."""
        return self.may_write and self.exceptions.opens(source)

    @property
    def cache_scope(self) -> str:
        """The scope of cache mounts: runs of one line of a project share them, but runs that may write never with
        others."""
        return f"{self.project}, {self.line}" + ("" if self.may_write else " (may not write)")


@dataclass
class Transferred:
    """Compressed layer bytes that a build took from and brought to the store."""

    pulled: int = 0
    pushed: int = 0


@dataclass(frozen=True)
class ReadAhead:
    """What a `COPY --from` is going to copy, as it was written, and what was fetched for that."""

    wanted: tuple[str, ...]
    tree: SourceTree
    moved: Transferred


@dataclass(frozen=True)
class StageInputs:
    """The stages that one stage is made of."""

    parent: StageImage | None
    sources: Mapping[str, StageImage]
    references: Mapping[str, str]
    """Placeholder of another image -> its reference."""
    moved: Transferred = field(default_factory=Transferred)
    used: list[Dependency] = field(default_factory=list)
    """What is fetched for the stage, for its statement."""
    ahead: ReadAhead | None = None
