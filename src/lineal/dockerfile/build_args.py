"""Build arguments that no ARG of a Dockerfile takes: they change nothing, which is said once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from lineal.dockerfile import platform
from lineal.dockerfile.scope import PROXY_ARGS
from lineal.dockerfile.stage import PlanRequest
from lineal.text import closest

_OF_BUILDKIT = re.compile(r"BUILDKIT_\w+|DOCKER_BUILDKIT|SOURCE_DATE_EPOCH")


def unused(image: PlanRequest, declared: Collection[str]) -> Iterator[str]:
    """A sentence about those of lineal.yaml, and one about those that are for BuildKit itself."""
    known = {*declared, *PROXY_ARGS, *platform.arguments(image.platform, "")}
    names = [name for name in image.args if name not in known]
    own = [name for name in names if _OF_BUILDKIT.fullmatch(name)]
    others = [name for name in names if name not in own]
    key = f"lineal.yaml: images.{image.name}.args"
    if others:
        near = {name: closest(name, declared) for name in others}
        meant = [f"{found} for {name}" for name, found in near.items() if found]
        hint = f" Did you mean {', '.join(meant)}?" if meant else ""
        yield f"{key}: {image.file} has no ARG for {', '.join(others)}, so nothing takes them.{hint}"
    if own:
        yield f"{key}: {', '.join(own)} would be for BuildKit itself; Lineal has no use for them."
