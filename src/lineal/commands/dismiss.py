"""`lineal dismiss`: a release taken out of the cluster, with its namespace if asked."""

from __future__ import annotations

from lineal.commands.output import check_files
from lineal.commands.reporting import bare_report, reporting
from lineal.deploy.uninstall import Dismissal
from lineal.report.model import ReleaseReport
from lineal.session.session import Session


def dismiss(session: Session, *, with_namespace: bool, delete_kept: bool = False) -> ReleaseReport:
    """The whole command; what has become of the release. Raises `LinealError`."""
    with reporting(session, "dismiss", table=False) as told:
        check_files(session, dotenv=False)
        dismissal = Dismissal.of(session)
        told.release = dismissal.report
        told.report = lambda: bare_report(session, "dismiss", dismissal.project)
        dismissal.carry_out(with_namespace, delete_kept)
    return dismissal.report
