"""The cache mounts of a run that outlive the runner: what lineal.yaml says of them, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.build.result import BuildResult
from lineal.config.caches import caches_of, seconds_of
from lineal.config.run_options import bytes_of
from lineal.session.session import Session
from lineal.stages.plan import report

if TYPE_CHECKING:
    from lineal.caches.publication import Publishing
    from lineal.caches.rules import CacheRules
    from lineal.caches.run import RunCaches
    from lineal.store.statement import Builder


def run_caches(session: Session, builder: Builder | None = None, *, without: bool | None = None) -> RunCaches | None:
    """None where all cache mounts are the engine's. Without a `builder` none is published, nor by a run that may not
    write or builds a working tree. `without` is as the run says, unless it is given. Raises `BadConfiguration` where
    a package is missing."""
    rules = _rules(session)
    if without is None:
        without = session.settings.no_cache_mounts.value
    if not rules and not without:
        return None
    from lineal.caches.chunks import check_installed
    from lineal.caches.run import RunCaches
    from lineal.caches.settings import CacheSettings

    check_installed()
    publishes = builder is not None and session.context.may_write and not session.position.dev
    caches = RunCaches(
        CacheSettings(
            session.loaded.project.project, rules, session.lookup, session.notes,
            _publishing(session, builder) if publishes and builder else None, without,
        )
    )  # fmt: skip
    session.at_close(caches.close)
    return caches


def with_caches(result: BuildResult, caches: RunCaches | None) -> BuildResult:
    """The result of a plan, with the snapshots that its stages would begin with."""
    if caches is None:
        return result
    caches.find(result.plan.needed)
    reports = dict(result.reports)
    for stage in result.plan.needed:
        if found := caches.reports(stage.checksum):
            reports[stage.checksum] = report(stage, "missing", reason=result.resolutions[stage.checksum].reason)
            reports[stage.checksum].caches = found
    return replace(result, reports=reports)


def note_caches(result: BuildResult, caches: RunCaches | None) -> None:
    """Say in the reports of stages what became of their caches."""
    if caches is None:
        return
    for checksum, one in result.reports.items():
        one.caches = caches.reports(checksum)


def _rules(session: Session) -> Mapping[str, CacheRules]:
    from lineal.caches.rules import CacheRules

    project, found = session.loaded.project, {}
    for name, image in project.images.items():
        said = caches_of(project.caches, image.caches)
        if said.persist:
            ids = None if said.ids is None else frozenset(said.ids)
            found[name] = CacheRules(ids, bytes_of(said.max_size or ""), seconds_of(said.max_time or ""))
    return found


def _publishing(session: Session, builder: Builder) -> Publishing:
    from lineal.caches.publication import Publishing
    from lineal.stages.publish import own_digits
    from lineal.store.record import Record
    from lineal.store.statement import Making

    at, trust = session.position, session.trust
    record = Record("", at.recorded, at.tree, at.branch, 0, "", session.loaded.project.project, __version__)
    return Publishing(
        session.store, record, trust.marked, session.signing.sign, Making(builder=builder), own_digits()
    )
