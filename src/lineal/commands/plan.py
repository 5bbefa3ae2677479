"""`lineal plan`: what the store has of the images of this commit, and what would be built, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from lineal.build.result import BuildResult
from lineal.ci.provider import job_writers
from lineal.commands.caches import run_caches, with_caches
from lineal.commands.environment import prover_of
from lineal.commands.finish import Finishing
from lineal.commands.output import introduce, show, table_of
from lineal.commands.reporting import expect_report, make_report, reporting
from lineal.config.beside import entries
from lineal.config.giterminism import FILE as GITERMINISM_FILE
from lineal.config.model import FILE
from lineal.context.uncommitted import find, refuse
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.images import ImageGraphs, read_images
from lineal.dockerfile.stage import Parts, Platforms, ends
from lineal.errors import BadConfiguration, LinealError
from lineal.report.stage_graph import planned
from lineal.session.session import Session
from lineal.stages.beside import beside
from lineal.stages.plan import BuildPlan, expect, resolve

if TYPE_CHECKING:
    from lineal.ci.jobs import JobSettings
    from lineal.deploy.inputs import CommitInputs, ReleaseInputs
    from lineal.report.model import Report

_RELEASE_FLAGS = ("release", "namespace", "values", "set", "kube_context")


def plan(session: Session, names: Sequence[str], format: str) -> bool:
    """The whole command; whether there is work. Raises `LinealError`."""
    with reporting(session, "plan", table=False) as told:
        encode = _encoder(session, format)
        names = session.named(names)
        _check_diff(session, names, format)
        release = _release_inputs(session) if session.settings.diff.value else None
        if release is None:
            introduce(session)
        found = plan_images(session, names, release, complete=False)
        _note_unpinned(session, found)
        unmade = with_caches(unbuilt(session, found), run_caches(session) if found.needed else None)
        told.result = Finishing(session).find(unmade, tags=True)
        if release is not None:
            from lineal.deploy.diff.preview import changes

            told.changes = changes(release, told.result)
        report = make_report(session, "plan", told)
        told.report = lambda: report  # the file says what stdout says
        session.progress.close()
        show(encode(report))
    return bool(told.result.plan.needed or told.changes or any(map(planned, told.result.tags.values())))


def plan_images(
    session: Session, names: Sequence[str] = (), release: CommitInputs | None = None, *, complete: bool = True
) -> BuildPlan:
    """Ask the store for the images of these names (all by default); each new stage says which change made it new.

    `release` is what else the command reads of the commit. Raises `LinealError`, also for uncommitted changes and,
    unless the plan need not be `complete`, for artifacts that are not there."""
    session.reach_store(names)
    return plan_reached(session, names, release, complete=complete)


def plan_reached(
    session: Session, names: Sequence[str], release: CommitInputs | None = None, *, complete: bool = True,
    missed: Callable[[], None] = lambda: None,
) -> BuildPlan:  # fmt: skip
    """The same of a session that has reached the store for them. `missed` is called while that is asked, when there
    is something to build."""
    graphs = _read_images(session, names, release)
    # While the store answers.
    session.tidy()
    expect_report()
    if complete:
        graphs.require_artifacts(session.platforms)
    if release is not None:
        release.check()
    _check_platforms(session, graphs)
    images = session.loaded.project.images
    sboms = graphs.sboms if Finishing(session).publishes else {}
    last = [*ends(graphs.images), *ends(sboms)]
    session.lookup.eligibility.beside = beside(last, {name: entries(one.secrets) for name, one in images.items()})
    reasons: dict[str, str] = {}

    def explain() -> None:
        reasons.update(_reasons(session, graphs.images))

    beside_it = (missed, explain) if complete else (explain, None)
    found = resolved(session, graphs.images, session.platforms, sboms, *beside_it)
    for note in session.history.notes:
        session.progress.warn(note)
    unknown = [
        stage.checksum for stage in found.needed
        if not found.resolutions[stage.checksum].anchored and not stage.unknown
    ]  # fmt: skip
    if not unknown:
        return found
    return found.with_reasons({checksum: reasons[checksum] for checksum in unknown if checksum in reasons})


def resolved(
    session: Session, images: Mapping[str, Parts], platforms: Platforms = frozenset(),
    sboms: Mapping[str, Parts] = MappingProxyType({}), meanwhile: Callable[[], None] = lambda: None,
    reading: Callable[[], None] | None = None,
) -> BuildPlan:  # fmt: skip
    """What the store has of these images, with what nobody vouches for and git proves. `meanwhile` is called while it
    is asked where something is missing, and `reading` while what that is made of is read. Raises `LinealError`."""
    prover = prover_of(session)
    recall = prover.recall if prover else None
    found = resolve(images, session.lookup, platforms, sboms, recall, meanwhile, reading)
    return prover.proved(found) if prover is not None and found.needed else found


def _check_platforms(session: Session, graphs: ImageGraphs) -> None:
    """Raises `BadConfiguration` when --platform leaves nothing of the images."""
    if graphs.images and not ends(graphs.images, session.platforms):
        there = dict.fromkeys(platform for parts in graphs.images.values() for platform in parts)
        given = session.settings.platforms
        raise BadConfiguration(
            f"None of these images is built for {', '.join(given.value)} ({given.origin}).",
            id="LN-1036",
            remedy=f"They are built for {', '.join(there)}; `platforms` in lineal.yaml says so.",
        )


def unbuilt(session: Session, found: BuildPlan) -> BuildResult:
    """The plan as a result, for a run that builds nothing."""
    return BuildResult.before(found, session.store.address, session.context.may_write)


def _read_images(session: Session, names: Sequence[str], release: CommitInputs | None) -> ImageGraphs:
    """The graphs of the images, once nothing uncommitted would change them."""
    trusted = session.context.may_write
    graphs = read_images(
        session.repository, session.loaded, names, session.giterminism, session.notes, trusted=trusted,
        artifacts=session.artifacts,
    )  # fmt: skip
    # Git is asked for what is uncommitted meanwhile.
    expect(ends(graphs.images), session.lookup)
    if not session.settings.dev.value:
        files, folders = (release.files, release.folders) if release else ([], [])
        read = {FILE, GITERMINISM_FILE, *graphs.files, *files}
        changes = find(session.repository, read, folders, graphs.readings())
        left_out = session.settings.ignore_uncommitted.value
        refuse(changes, lambda path: left_out or session.giterminism.tolerates(path), session.progress.warn)
    return graphs


def _note_unpinned(session: Session, found: BuildPlan) -> None:
    """Say of what is to be built where its content is still open; the build names it."""
    for stage in found.needed:
        if not isinstance(stage.op, CopyInstruction):
            continue
        for source, remote in stage.op.remotes:
            if not remote.pinned and not session.giterminism.unpinned(source):
                session.progress.note(
                    f"{stage.place}: {source} is not pinned: what the first build brings stays, and that build "
                    "prints the line that pins it."
                )


def _reasons(session: Session, images: Mapping[str, Parts]) -> dict[str, str]:
    """The changes since the commit before, by checksum; none when that commit is missing or cannot be planned."""
    from lineal.stages.rebuild_reason import explain

    earlier = next(iter(session.repository.parents(session.repository.commit)), None)
    try:
        before = session.repository.at(earlier, fetch=False) if earlier else None
        if before is None:
            return {}
        # Those of then are not here; with those of now the rest can be compared.
        exceptions, artifacts = session.giterminism, session.artifacts
        previous = read_images(before, session.loaded, list(images), exceptions, artifacts=artifacts)
        return explain(images, previous.images, before.commit[:7])
    except LinealError:
        return {}


def _release_inputs(session: Session) -> ReleaseInputs:
    from lineal.deploy.inputs import ReleaseInputs

    release = ReleaseInputs(session)
    introduce(session)
    return release


def _check_diff(session: Session, names: Sequence[str], format: str) -> None:
    """Raises `BadConfiguration` for options that would mean nothing."""
    given, diff = session.settings.given, session.settings.diff.value
    unused = next((name for name in _RELEASE_FLAGS if getattr(given, name)), None)
    if not diff and unused is not None:
        what = f"--{unused.replace('_', '-')} is for --diff."
        raise BadConfiguration(what, id="LN-1016", remedy="Give both, or neither.")
    if diff and names:
        raise BadConfiguration(
            "--diff is about the whole release, and takes no IMAGE.", id="LN-1016", remedy="Leave out one."
        )
    if diff and format not in ("table", "json"):
        raise BadConfiguration(
            f"--diff has no place in --format {format}.", id="LN-1016", remedy="Use table or json."
        )


def _encoder(session: Session, format: str) -> Callable[[Report], str]:
    """How a report is shown. Raises `BadConfiguration` before any work when it could not be."""
    from lineal.report.model import encode

    if session.settings.given.template and format != "gitlab":
        raise BadConfiguration("--template is for --format gitlab.", id="LN-1016", remedy="Give both, or neither.")
    if format == "json":
        return lambda report: encode(report).decode()
    if format == "table":
        return lambda report: table_of(report, sys.stdout)
    given = session.settings.platforms
    if given.value and not session.loaded.names_platforms:
        # Each job would make an image of its own.
        raise BadConfiguration(
            f"Jobs for several platforms share an image, so lineal.yaml has to name them, not {given.origin.source}.",
            id="LN-1039",
            remedy=f"Write `platforms: [{', '.join(given.value)}]` at the images.",
        )
    return job_writers(session.settings.environ)[format].jobs(_job_settings(session))


def _job_settings(session: Session) -> JobSettings:
    from lineal.ci.jobs import JobSettings

    settings, flags = session.settings, session.settings.given
    repeated: dict[str, object] = {
        "LINEAL_REPO": flags.repo,
        "LINEAL_ENV": flags.env,
        "LINEAL_INSECURE_REGISTRY": "\n".join(flags.insecure_registry),
        "LINEAL_IGNORE_UNCOMMITTED": "true" if flags.ignore_uncommitted else "",
        "LINEAL_DEV": "true" if flags.dev else "",
    }
    variables = {name: str(value) for name, value in repeated.items() if value}
    runners = settings.runners.value
    return JobSettings(settings.template.value, variables, has_vars=bool(flags.var), runners=runners)
