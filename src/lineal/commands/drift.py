"""`lineal drift`: what in the cluster differs from what was deployed."""

from __future__ import annotations

import time

from lineal.commands.output import check_files, show
from lineal.commands.reporting import bare_report, reporting
from lineal.deploy import drift as finding
from lineal.deploy.helm import manifests
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.named_release import NamedRelease
from lineal.deploy.rollback import absent
from lineal.errors import Unreachable
from lineal.kube.client import KubeClient
from lineal.kube.login import KubeUnavailable
from lineal.report.diff import drift_lines
from lineal.report.model import ReleaseReport
from lineal.session.session import Session


def drift(session: Session) -> bool:
    """The whole command; whether anything differs. Raises `LinealError`."""
    with reporting(session, "drift", table=False) as told:
        check_files(session, dotenv=False)
        named = NamedRelease.of(session, "it does not ask the cluster either")
        release = named.release
        report = ReleaseReport(name=release.name, namespace=release.namespace, status="unknown")
        told.release, told.report = report, lambda: bare_report(session, "drift", named.project)
        start = time.monotonic()
        deployed = _deployed(named)
        report.revision = deployed.number
        session.progress.note(f"Comparing {release} with its revision {deployed.number}.")
        try:
            api = KubeClient.of_helm(named.helm.environ, release.kube_context)
            found = finding.find(api, release, deployed, session.hidden.mask)
        except KubeUnavailable as error:
            remedy = "Correct KUBECONFIG or `--kube-context`, or run it where the cluster can be reached."
            raise Unreachable(f"The cluster cannot be asked: {error}.", id="LN-6070", remedy=remedy) from None
        told.changes, report.told = found.changes, [*found.told, *found.unknown]
        report.duration = time.monotonic() - start
        for sentence in found.unknown:
            session.progress.warn(sentence)
        report.status = "drifted" if found.told else "unknown" if found.unknown else "as deployed"
        show("".join(f"{line}\n" for line in drift_lines(found.changes, found.told)))
        if found.unknown and not found.told:
            what = (
                f"Whether {release} is as it was deployed is not known: the cluster did not tell of all its objects."
            )
            raise Unreachable(
                what, id="LN-6070", remedy="Let the account get and patch them: a dry run changes nothing."
            )
    return bool(found.told)


def _deployed(named: NamedRelease) -> ReleaseManifests:
    found = manifests.deployed(named.helm, named.release)
    if found is not None and found.status != "deployed":
        found = manifests.last_deployed(named.helm, named.release)
    if found is None:
        raise absent(named.release)
    return found
