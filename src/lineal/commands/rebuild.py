"""`lineal verify --rebuild STAGE`: whether what a `RUN` makes depends on what its cache mounts hold.

The command runs twice on the published stages that it is made of, with its caches and without; nothing is published.
What differs is information: a command may well make other bytes each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lineal.commands.caches import run_caches
from lineal.commands.environment import private_environment
from lineal.commands.finish import Finishing
from lineal.commands.output import show
from lineal.commands.plan import plan_images, resolved
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration
from lineal.oci.image import content, read_image
from lineal.session.session import Session
from lineal.stages.plan import BuildPlan, title
from lineal.store.record import image_digest
from lineal.tar.compression import open_archive
from lineal.tar.reader import TarReader
from lineal.text import plural, printable, quoted

if TYPE_CHECKING:
    from lineal.oci import Store
    from lineal.oci.types import Descriptor
    from lineal.stages.candidate import Candidate

_SHOWN = 10


def rebuild(session: Session, name: str) -> None:
    """The whole command; `name` is IMAGE:LINE or how a checksum begins. Raises `LinealError`."""
    plan = plan_images(session)
    stage = _stage(plan, name)
    below = _published(session, stage)
    references = _references(session, plan, stage, below)
    found = []
    for without in (False, True):
        session.progress.note(f"{title(stage)} is made {'without' if without else 'with'} its caches")
        found.append(_files(session, stage, below, references, without))
    show(_told(stage, *found))


def _stage(plan: BuildPlan, name: str) -> Stage:
    """Raises `BadConfiguration` for what is no `RUN` with a cache."""
    for stage in plan.stages():
        named = (f"{stage.image}:{stage.place.line}", stage.checksum, stage.checksum[:12])
        if name in named and _has_cache(stage):
            return stage
    raise BadConfiguration(
        f"This commit has no RUN {quoted(name)} with a cache mount.",
        id="LN-1065",
        remedy="Name it by its image and line, such as app:12, or by its checksum, as `lineal plan` shows them.",
    )


def _has_cache(stage: Stage) -> bool:
    return isinstance(stage.op, RunInstruction) and any(mount.type == "cache" for mount in stage.op.mounts)


def _published(session: Session, stage: Stage) -> dict[str, Candidate]:
    """The stages that it is made of, by checksum, as a build finds them."""
    below = {one.checksum: {one.platform: one} for one in stage.dependencies()}
    found = resolved(session, below)
    if found.needed:
        raise BadConfiguration(
            f"{title(found.needed[0])}, which it is made of, is not published.",
            id="LN-1065",
            remedy="Build the image first: `lineal build`.",
        )
    return {checksum: one for checksum in below if (one := found.resolutions[checksum].candidate) is not None}


def _references(
    session: Session, plan: BuildPlan, stage: Stage, below: Mapping[str, Candidate]
) -> dict[str, str]:  # fmt: skip
    """Those of the images that it needs, as in a build."""
    finished = Finishing(session).reference_in(plan)
    found = {}
    for key, need in stage.needs.items():
        candidate = below[need.checksum]
        image = read_image(session.store, image_digest(candidate.index), need.platform)
        found[key] = finished(candidate, image) or candidate.reference(session.store.address)
    return found


def _files(
    session: Session, stage: Stage, below: Mapping[str, Candidate], references: Mapping[str, str], without: bool
) -> dict[str, str]:  # fmt: skip
    """What the command leaves: by path all that is to be told of a file, but its time."""
    from lineal.build.proof import made_again

    environment = replace(private_environment(session), caches=run_caches(session, without=without))
    parent = below[stage.parent.checksum].index if stage.parent else None
    sources = {name: below[one.checksum].index for name, one in stage.sources.items()}
    made = made_again(stage, parent, sources, environment, references)
    return dict(_entries(environment.store, made.image.layers[-1]))


def _entries(store: Store, layer: Descriptor) -> Iterator[tuple[str, str]]:
    for entry in (reader := TarReader(open_archive(content(store, layer)))):
        digest = hashlib.sha256()
        for chunk in reader.content():
            digest.update(chunk)
        owner = f"{entry.mode:o} {entry.uid}:{entry.gid}"
        yield entry.path, f"{entry.kind} {owner} {entry.target} {entry.device} {digest.hexdigest()}"


def _told(stage: Stage, cached: dict[str, str], plain: dict[str, str]) -> str:
    differ = sorted(path for path in cached.keys() | plain.keys() if cached.get(path) != plain.get(path))
    name, ways = printable(title(stage)), "with its caches and without"
    if not differ:
        return f"{name}: the layer is the same {ways}, but for times of files\n"
    count = plural(len(differ), "file")
    lines = [f"{name}: {count} of the layer {'differ' if len(differ) > 1 else 'differs'} {ways}"]
    for path in differ[:_SHOWN]:
        where = "" if path in cached and path in plain else f" (only {'with' if path in cached else 'without'})"
        lines.append(f"  /{printable(path)}{where}")
    if len(differ) > _SHOWN:
        lines.append(f"  and {len(differ) - _SHOWN} more")
    return "\n".join(lines) + "\n"
