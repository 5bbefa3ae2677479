"""The provenance of a finished image: the chain of its stages, as their statements tell it.

It is a function of what is published, so that every run says the same of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lineal.store.statement import Dependency, provenance, stage_dependency
from lineal.trust.chain import Link

IMAGE = "https://lineal.dev/image/v1"
"""The build type of a finished image's provenance."""


def provenance_of(name: str, digest: str, stages: Sequence[Link]) -> bytes | None:
    """The statement of the finished image `name`, whose manifest has this digest. `stages` are those that it was made
    in, the last first; what they claim is told. None where the last one has no statement: it is of an earlier version
    of Lineal."""
    last = stages[0].statement if stages else None
    if last is None:
        return None
    made_from: dict[tuple[str, str], Dependency] = {}
    for stage in reversed(stages):
        one = stage_dependency("stage", stage.image, stage.record.checksum, stage.tag)
        made_from[("stage", stage.image)] = one
        for other in stage.statement.making.dependencies if stage.statement else ():
            if other.name != "parent":
                made_from.setdefault((other.uri or other.name, str(sorted(other.digest.items()))), other)
    sources = [
        Dependency("source", {"gitCommit": commit}, _source(last.making.builder.source)) for commit in last.commits
    ]
    sources += [Dependency("tree", {"gitTree": last.tree})] if last.tree else []
    external = {"project": last.project, "image": name, "branch": last.branch, "platform": last.platform}
    internal = {"store": last.making.builder.store, "stages": [_told(stage) for stage in reversed(stages)]}
    return provenance(
        [(name, digest)], IMAGE, external, internal, [*sources, *made_from.values()], last.making.builder,
        last.version, None,
    )  # fmt: skip


def _source(address: str) -> str:
    return f"git+{address}" if address else ""


def _told(stage: Link) -> dict[str, Any]:
    """A stage for people who ask how the image was made: who ran what, of which commit."""
    found: dict[str, Any] = {
        "checksum": stage.record.checksum,
        "image": stage.image,
        "commits": list(stage.record.commits),
        "tree": stage.record.tree,
    }
    if stage.statement is None:
        return found
    making = stage.statement.making
    told = {"instruction": making.instruction, "place": making.place, "builder": making.builder.id}
    told |= {"invocation": making.builder.invocation} if making.builder.invocation else {}
    lists = {"secrets": list(making.secrets), "agents": list(making.agents)}
    return found | told | {key: names for key, names in lists.items() if names}
