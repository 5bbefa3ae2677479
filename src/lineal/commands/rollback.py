"""`lineal rollback`: a release goes back to an earlier revision, until it is ready."""

from __future__ import annotations

from lineal.commands.output import check_files
from lineal.commands.reporting import bare_report, reporting
from lineal.deploy.named_release import NamedRelease
from lineal.deploy.rollback import Rollback
from lineal.report.model import ReleaseReport
from lineal.session.session import Session


def rollback(session: Session, revision: int | None = None) -> ReleaseReport:
    """The whole command; what has become of the release. Raises `LinealError`."""
    with reporting(session, "rollback", table=False) as told:
        check_files(session, dotenv=False)
        named = NamedRelease.of(session, "it rolls no release back")
        operation = Rollback(named.helm, named.release, session.notes, session.holder)
        told.release = operation.report
        told.report = lambda: bare_report(session, "rollback", named.project)
        return operation.run(revision)
