"""The request for a plan: one image of lineal.yaml for one platform, with everything that planning it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from functools import cached_property

from lineal.context.build_context import BuildContext
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.named_context import NamedContext
from lineal.dockerfile.remote_policy import RemotePolicy
from lineal.dockerfile.stage import Parts, Stage, part_of
from lineal.progress import QUIET, Notes
from lineal.value import dataclass


@dataclass(frozen=True)
class PlanRequest:
    """One image of lineal.yaml for one platform, with everything that planning it needs."""

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
    labels: Mapping[str, str] = field(default_factory=dict)
    """Those that the image has beside the Dockerfile's, or in their place."""
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    """By the shortest spelling of the name."""
    run_options: Inputs = field(default_factory=dict)
    """Those options of `RUN` that may change what it makes, as given."""
    siblings: Collection[str] = ()
    """The names of all images of lineal.yaml."""
    platforms: Sequence[str] = ()
    """All platforms of the image; by default this one."""
    parts: Mapping[str, Parts] = field(default_factory=dict)
    """The other images that it is made from, for all their platforms, by the checksum of their stages in `needs` and
    `contexts`."""
    remotes: RemotePolicy = RemotePolicy()
    notes: Notes = QUIET

    @property
    def build_platform(self) -> str:
        """What BUILDPLATFORM says: the first platform of the image, on every machine. So a checksum never depends on
        the one that builds, and what is made there is made once for all platforms."""
        return self.platforms[0] if self.platforms else self.platform

    def on(self, stage: Stage, platform: str) -> Stage | None:
        """The last stage of another image for a platform, by that for this one; None where it is not built for it."""
        parts = self.parts.get(stage.checksum)
        return stage if parts is None else part_of(parts, platform)

    @cached_property
    def placeholders(self) -> dict[str, Stage]:
        """The placeholder of a needed image's reference -> that image's last stage."""
        return {stage.placeholder: stage for _, stage in self.needs.values()}

    def images(self) -> list[Stage]:
        """The last stages of the other images of lineal.yaml that this one is made from."""
        contexts = (one.stage for one in self.contexts.values() if one.stage is not None)
        return [*(stage for _, stage in self.needs.values()), *contexts]
