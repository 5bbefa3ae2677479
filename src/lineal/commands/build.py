"""`lineal build`: build and publish what is missing, and print the references of the images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lineal.build.result import BuildResult, look_again, settle
from lineal.commands.caches import note_caches, run_caches
from lineal.commands.export import Export
from lineal.commands.finish import Finishing
from lineal.commands.output import introduce, introduce_lock, references, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import reporting
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.stage import Stage
from lineal.session.session import Session
from lineal.stages.plan import BuildPlan

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment
    from lineal.build.scheduler import Scheduler
    from lineal.caches.run import RunCaches
    from lineal.config import model
    from lineal.engine import RunOptions
    from lineal.engine.by_platform import EnginesByPlatform
    from lineal.engine.table import Named
    from lineal.oci.types import Image
    from lineal.stages.lookup import Candidate
    from lineal.store.statement import Builder


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
        plan = plan_images(session, names)
        told.result = unbuilt(session, plan)
        told.result = build_images(session, plan, told.keep)
        told.result = replace(told.result, configs=_configs(session, told.result))
        export.write(told.result)
    show(references(told.result, names), sys.stderr if export.takes_stdout else sys.stdout)


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
    finishing = Finishing(session)
    failed(finishing.unfinished(unbuilt(session, plan)))
    finishing.prepare(plan)
    return finishing.publish(_built(session, plan, finishing, failed), failed)


def _built(
    session: Session, plan: BuildPlan, finishing: Finishing, failed: Callable[[BuildResult], None]
) -> BuildResult:
    if not plan.needed:
        return settle(unbuilt(session, plan), session.lookup)
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
    return isinstance(stage.op, RunInstruction) and any(mount.type in ("secret", "ssh") for mount in stage.op.mounts)


def _scheduler(session: Session, plan: BuildPlan, finishing: Finishing, caches: RunCaches | None) -> Scheduler:
    from lineal.build.scheduler import Provenance, Scheduler
    from lineal.stages.publish import Publisher

    position = session.position
    return Scheduler(
        plan,
        session.lookup,
        Publisher(
            session.store, session.lock, session.lookup, marked=session.trust.marked, sign=session.signing.sign
        ),
        environment_of(session, plan.needed, finishing.reference_in(plan), caches),
        Provenance(position.recorded, position.tree, position.branch, session.loaded.project.project),
        session.progress,
        session.settings.jobs.value,
        session.stopped,
    )


def _engines(session: Session, needed: Iterable[Stage]) -> EnginesByPlatform:
    from lineal.engine.by_platform import EnginesByPlatform
    from lineal.engine.select import SelectedEngine

    settings = session.settings

    def make(named: Named) -> SelectedEngine:
        return SelectedEngine(
            named.name,
            named.source,
            network=settings.engine_network.value,
            environment=settings.environ,
            workspace=session.workspace,
            note=session.progress.note,
        )

    several = len({stage.platform for stage in needed if isinstance(stage.op, RunInstruction)}) > 1
    engines = EnginesByPlatform(session.engines, make, session.progress.note, several=several)
    session.at_close(engines.close)
    return engines


def environment_of(
    session: Session, needed: Iterable[Stage] = (),
    finished: Callable[[Candidate, Image], str | None] = lambda _stage, _image: None,
    caches: RunCaches | None = None,
) -> BuildEnvironment:  # fmt: skip
    """What stages are made with in this run; an engine is looked for when one of those needed has a command."""
    from lineal.build.environment import BuildEnvironment
    from lineal.build.proxies import JobProxies

    settings, project = session.settings, session.loaded.project
    proxies = JobProxies(settings.environ, session.context.may_write, settings.engine_network.value)
    session.hidden.hide(proxies.passwords)
    return BuildEnvironment(
        store=session.store,
        base_store=lambda reference: session.stores.base(reference, session.store),
        engine=_engines(session, needed),
        secrets=session.secrets,
        agents=session.agents.socket,
        exceptions=session.giterminism,
        notes=session.notes,
        proxies=proxies,
        project=project.project,
        line=session.context.line,
        may_write=session.context.may_write,
        builder=builder_of(session),
        finished=finished,
        caches=caches,
        options={name: _run_options(image) for name, image in project.images.items()},
        allowed=settings.allowed.value if session.context.trusted else (),
        workspace=session.workspace,
    )


def builder_of(session: Session) -> Builder:
    """This run, as statements name it."""
    from lineal.ci.provider import provider_of
    from lineal.git.remote import web_address
    from lineal.store.statement import LOCAL, Builder

    pipeline, run = provider_of(session.settings.environ).builder()
    return Builder(
        pipeline or LOCAL, run, session.context.pull_request, session.trust.repository,
        web_address(session.checkout) or "",
    )  # fmt: skip


def _run_options(image: model.Image) -> RunOptions:
    from lineal.config.run_options import bytes_of, soft_and_hard
    from lineal.engine import RunOptions

    return RunOptions(
        hosts=tuple(image.add_hosts.items()),
        shm_size=None if image.shm_size is None else bytes_of(image.shm_size),
        ulimits=tuple((name, *soft_and_hard(limit)) for name, limit in image.ulimits.items()),
        cgroup_parent=image.cgroup_parent or "",
        epoch=image.source_date_epoch,
    )
