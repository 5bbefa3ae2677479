"""How a stage was made, for its statement (`lineal.store.statement`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lineal.context.build_context import BuildContext
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.stage import Stage
from lineal.store.statement import Builder, Dependency, Making


def making_of(stage: Stage, used: Sequence[Dependency], builder: Builder) -> Making:
    """`used` are the stages that it was made of, and what it fetched."""
    mounts = stage.op.mounts if isinstance(stage.op, RunInstruction) else ()
    return Making(
        instruction=stage.text,
        place=str(stage.place),
        secrets=tuple(sorted({mount.id for mount in mounts if mount.type == "secret"})),
        agents=tuple(sorted({mount.id for mount in mounts if mount.type == "ssh"})),
        dependencies=(*used, *_artifacts(stage)),
        builder=builder,
    )


def _artifacts(stage: Stage) -> Iterator[Dependency]:
    """The declared artifacts among the files of the stage, each once."""
    found = {
        path: oid
        for context, roots in _files(stage)
        if context.artifacts
        for _, entries in roots
        for name, _, oid in entries
        if (path := context.full(name)) in context.artifacts
    }
    for path, oid in sorted(found.items()):
        yield Dependency("artifact", {"gitBlob": oid}, annotations={"path": path})


def _files(stage: Stage) -> Iterator[tuple[BuildContext, list[Any]]]:
    """The roots of files that come from a directory of the commit, as they stand in the checksum's inputs."""
    op = stage.op
    if isinstance(op, CopyInstruction):
        groups = [(op.source_stage, roots) for roots in stage.inputs["files"]] if _is_list(stage, "files") else []
    elif isinstance(op, RunInstruction):
        mounted = stage.inputs.get("mounted", {})
        groups = [(mount.source_stage, mounted.get(str(number))) for number, mount in enumerate(op.mounts)]
    else:
        groups = []
    for name, roots in groups:
        context = stage.context if name is None else stage.contexts.get(name)
        if context is not None and isinstance(roots, list):
            yield context, roots


def _is_list(stage: Stage, key: str) -> bool:
    return isinstance(stage.inputs.get(key), list)
