"""What the commit has of what no checksum holds: only stages that were made with the same are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.stage import Stage, closure


def beside(last: Iterable[Stage], named: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """By checksum, the sources of secrets of the commands that mount some, and of all that is made of their results.

    `last` are the last stages of images. `named` has what the commit names for each image. Images that share a stage
    may name different sources for it."""
    found: dict[str, frozenset[str]] = {}
    if not any(named.values()):
        return found
    for stage in (stage for one in last for stage in closure([one])):
        own = named.get(stage.image, frozenset()) if _mounts_secret(stage) else frozenset()
        below = (found[one.checksum] for one in stage.dependencies())
        found[stage.checksum] = found.get(stage.checksum, frozenset()).union(own, *below)
    return found


def _mounts_secret(stage: Stage) -> bool:
    return isinstance(stage.op, RunInstruction) and any(mount.type == "secret" for mount in stage.op.mounts)
