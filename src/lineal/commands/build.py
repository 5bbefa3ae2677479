"""`lineal build`: build and publish what is missing, and print the references of the images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lineal.commands.export import Export
from lineal.commands.output import introduce, introduce_lock, references, show
from lineal.commands.reporting import reporting

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.build.scheduler import Scheduler
    from lineal.caches.run import RunCaches
    from lineal.commands.finish import Finishing
    from lineal.dockerfile.stage import Stage
    from lineal.session.session import Session
    from lineal.stages.plan import BuildPlan

_SPARE = 8
"""Connections that a run with work opens: it asks for so much at once of what the first missing stage is made of."""


def build(session: Session, names: Sequence[str]) -> None:
    """The whole command. Raises `LinealError`."""
    with reporting(session, "build") as told:
        introduce(session)
        introduce_lock(session)
        session.trust.require_build()
        names = session.named(names)
        _note_names(session)
        export = Export(session, names)
        export.prepare()
        session.reach_store(names)
        # While its connection is opened, Python reads the modules that come to what is asked of it.
        from lineal.commands.plan import plan_reached, unbuilt

        plan = plan_reached(session, names, missed=lambda: _expect_work(session))
        told.result = unbuilt(session, plan)
        told.result = build_images(session, plan, told.keep)
        told.result = replace(told.result, configs=_configs(session, told.result))
        export.write(told.result)
    show(references(told.result, names), sys.stderr if export.takes_stdout else sys.stdout)


def _expect_work(session: Session) -> None:
    """What making stages needs, while the store is asked: connections, git's answers, modules that Python reads."""
    session.own_stores.connect(_SPARE)
    import lineal.build.scheduler
    import lineal.build.stage_builder
    import lineal.commands.environment
    import lineal.store.outgoing
    import lineal.store.registry.manifest_uploads
    import lineal.store.registry.uploads  # noqa: F401

    _ = session.web_address


def _note_names(session: Session) -> None:
    """Names that are written nowhere."""
    described, settings = session.loaded.described, session.settings
    if described and described.references and not (described.push or settings.load.value or settings.outputs.value):
        session.progress.note(
            "The image is kept in the store, and no --tag is written: --push publishes it, --load has it here."
        )


def _configs(session: Session, result: BuildResult) -> dict[str, str]:
    """What docker calls the id of an image that flags describe, published or not."""
    from lineal.store.record import image_digest

    found = {}
    for name, parts in result.plan.images.items() if session.loaded.described else ():
        candidate = result.candidate(next(iter(parts.values()))) if len(parts) == 1 else None
        manifest = session.store.manifest(image_digest(candidate.index)) if candidate else None
        if manifest is not None:
            found[name] = str(manifest.json["config"]["digest"])
    return found


def build_images(
    session: Session, plan: BuildPlan, failed: Callable[[BuildResult], None] = lambda _: None
) -> BuildResult:
    """Build and publish what the plan needs, then finish and tag the images. `failed` is told what there is when that
    ends early.

    Raises `LinealError`."""
    from lineal.commands.finish import Finishing
    from lineal.commands.plan import unbuilt

    finishing = Finishing(session)
    failed(finishing.unfinished(unbuilt(session, plan)))
    finishing.prepare(plan)
    return finishing.publish(_built(session, plan, finishing, failed), failed)


def _built(
    session: Session, plan: BuildPlan, finishing: Finishing, failed: Callable[[BuildResult], None]
) -> BuildResult:
    from lineal.build.result import look_again, settle
    from lineal.commands.plan import unbuilt

    if not plan.needed:
        return settle(unbuilt(session, plan), session.lookup)
    from lineal.commands.caches import note_caches, run_caches
    from lineal.commands.environment import builder_of

    # A converge that only deploys what signers have built needs no key; one that builds does.
    session.trust.require_build()
    session.signing.check()
    session.given.ask(session.loaded, {stage.image for stage in plan.needed if _mounts_of_caller(stage)})
    caches = run_caches(session, builder_of(session))
    scheduler = _scheduler(session, plan, finishing, caches)
    try:
        if caches:
            caches.expect(plan.needed)
        result = scheduler.run()
        if caches:
            caches.publish()
        note_caches(result, caches)
        return look_again(result, session.lookup)
    except BaseException:
        result = scheduler.result
        note_caches(result, caches)
        failed(finishing.unfinished(result))
        raise


def _mounts_of_caller(stage: Stage) -> bool:
    """Whether a `RUN` mounts what is not in the commit."""
    from lineal.dockerfile.instructions import RunInstruction

    return isinstance(stage.op, RunInstruction) and any(mount.type in ("secret", "ssh") for mount in stage.op.mounts)


def _scheduler(session: Session, plan: BuildPlan, finishing: Finishing, caches: RunCaches | None) -> Scheduler:
    from lineal.build.scheduler import Scheduler
    from lineal.build.stage_maker import Provenance
    from lineal.commands.environment import environment_of
    from lineal.stages.publish import Publisher
    from lineal.store.outgoing import OutgoingStore

    position = session.position
    outgoing = OutgoingStore(session.store, session.workspace)
    session.at_close(outgoing.close)
    environment = environment_of(session, plan.needed, finishing.reference_in(plan))
    return Scheduler(
        plan,
        session.lookup,
        Publisher(outgoing, session.lock, session.lookup, marked=session.trust.marked, sign=session.signing.sign),
        replace(environment, store=outgoing, keep=outgoing.keep, caches=caches),
        Provenance(position.recorded, position.tree, position.branch, session.loaded.project.project),
        session.progress,
        session.settings.jobs.value,
        session.stopped,
    )
