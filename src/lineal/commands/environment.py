"""What stages are made with in a run; and with what they are made again for proof, where nothing that is made reaches
the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.stage import Stage
from lineal.progress import QUIET
from lineal.session.session import Session

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment
    from lineal.build.prover import Prover
    from lineal.config import model
    from lineal.engine import RunOptions
    from lineal.engine.by_platform import EnginesByPlatform
    from lineal.engine.table import Named
    from lineal.oci.types import Image
    from lineal.stages.candidate import Candidate
    from lineal.store.statement import Builder


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
        options={name: _run_options(image) for name, image in project.images.items()},
        allowed=settings.allowed.value if session.context.trusted else (),
        workspace=session.workspace,
    )


def builder_of(session: Session) -> Builder:
    """This run, as statements name it."""
    from lineal.ci.provider import provider_of
    from lineal.store.statement import LOCAL, Builder

    pipeline, run = provider_of(session.settings.environ).builder()
    return Builder(
        pipeline or LOCAL, run, session.context.pull_request, session.trust.repository,
        session.web_address,
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


def private_environment(session: Session) -> BuildEnvironment:
    """The environment of a build whose store keeps in private what is made."""
    from lineal.store.layout import Layout
    from lineal.store.read_through import ReadThroughStore

    private = ReadThroughStore(Layout(session.workspace / "proof", "private", partial=True), session.store)
    return replace(environment_of(session), store=private, notes=QUIET)


def prover_of(session: Session) -> Prover | None:
    """What believes stages that git proves; None where the commit does not want that, or the run believes everybody
    anyway."""
    trust = session.trust
    if not trust.recomputes:
        return None
    from lineal.build.prover import Prover

    environment = cache(lambda: private_environment(session))
    return Prover(session.lookup, trust.memory, trust.repository, environment, fetches=not trust.vouches)
