"""What an upgrade and a rollback of a release have in common: the Lease, the watch over workloads, and words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lineal.config.secrets import Mask
from lineal.deploy.cluster_objects import ClusterObjects
from lineal.deploy.ending import namespace_gone
from lineal.deploy.helm import manifests, recovery
from lineal.deploy.helm.client import Helm
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.helm.objects import UNREADABLE
from lineal.deploy.release import Release
from lineal.deploy.release_lock import ReleaseHold, ReleaseLock, make_namespace
from lineal.deploy.watch.monitor import Monitor, Others, PollPolicy
from lineal.deploy.watch.observer import WorkloadObserver
from lineal.errors import DeployFailed, LinealError
from lineal.kube.client import KubeClient
from lineal.kube.login import KubeUnavailable
from lineal.lock import LockTimeouts
from lineal.progress import Notes
from lineal.report.model import ReleaseReport
from lineal.text import printable

_TOLD = 3
"""Workloads that are named in an error."""
_LINE = 500
"""Characters of a line of helm that are shown: an object in it may be pages of JSON."""


@dataclass(slots=True)
class Operation:
    """Something is done to a release, once. `report` tells the state of the release at any time, also after a
    failure."""

    helm: Helm
    release: Release
    notes: Notes
    holder: str
    """The name of this run, for the people whose deploy waits for it."""
    policy: PollPolicy = field(default_factory=PollPolicy)
    timeouts: LockTimeouts | None = None
    report: ReleaseReport = field(init=False)
    _has_namespace: bool = field(init=False, default=False)
    """Whether helm need not make it, as far as this account may do that at all."""

    def __post_init__(self) -> None:
        self.report = ReleaseReport(name=self.release.name, namespace=self.release.namespace, status="not deployed")

    def _before(self, hold: ReleaseHold) -> ReleaseManifests | None:
        """What is deployed, once the release that a killed run left is in order. Not one that was uninstalled, of
        which only the history is there."""
        found = manifests.deployed(self.helm, self.release)
        if found is not None and hold.held and recovery.is_cut_off(found.status):
            self._tell(recovery.undo_killed(self.helm, self.release, hold.killed, pause=hold.doubtful))
            found = manifests.deployed(self.helm, self.release)
        return None if found is None or found.status == "uninstalled" else found

    def _monitor(self, api: KubeClient, wanted: ReleaseManifests, repairs: bool, *, alone: bool) -> Monitor:
        """`alone`: helm does not wait."""
        given = Mask(wanted.secrets)  # a container that dies often prints the secrets that it was given
        observer = WorkloadObserver(
            api, self.release, lambda text: given.mask(self.helm.mask(text)), wanted.jobs, wanted.namespaces,
            () if UNREADABLE in wanted.kinds else wanted.kinds,
        )  # fmt: skip
        must_be = wanted.workloads(self.release.namespace)
        cluster, beside = ClusterObjects(api, self.release.namespace), wanted.beside_workloads(never_ready=not alone)
        others = Others(lambda: cluster.unmet(beside), awaited=alone)
        return Monitor(observer, self._note_masked, self.policy, must_be, others, repairs=repairs)

    def _helm_said(self, line: str) -> None:
        self.notes.note(printable(line, _LINE))

    def _explained(self, error: LinealError, monitor: Monitor) -> LinealError:
        """The error with the pod that is not ready, and why: helm does not know either."""
        if monitor.verdict is not None:
            workload, diagnosis = monitor.verdict
            where = "" if workload.elsewhere else f" in namespace {self.release.namespace}"
            what = f"{workload}{where} will not become ready: {diagnosis}."
            error = DeployFailed(what, id="LN-6032", remedy=diagnosis.remedy)
        else:
            late = monitor.unmet if error.id == "LN-6032" else []
            unready = [str(seen) for seen in monitor.unready()] or late
            if not unready:
                return error
            error.message = f"{error.message} {'; '.join(unready[:_TOLD])}."
        self.report.log = monitor.log
        return error

    def _tell(self, sentence: str) -> None:
        """Put a sentence into the log and, in the same words, into the report."""
        if sentence:
            self.notes.note(sentence)
            self.report.told.append(sentence)

    def _note_masked(self, line: str) -> None:
        self.notes.note(self.helm.mask(line))

    # --- the cluster --------------------------------------------------------------------------------------------

    def _api(self) -> KubeClient | None:
        try:
            return KubeClient.of_helm(self.helm.environ, self.release.kube_context)
        except KubeUnavailable as error:
            self.notes.note(f"Only helm waits, and shows no progress: {error}.")
            return None

    def _answers(self, api: KubeClient) -> bool:
        try:
            namespace_gone(api, self.release, self.notes)
            make_namespace(api, self.release.namespace)
            self._has_namespace = True
        except KubeUnavailable as error:
            self.notes.warn(f"Whether another job deploys {self.release} at the same time is not known: {error}.")
            return False
        return True

    @contextmanager
    def _locked(self, api: KubeClient | None) -> Iterator[ReleaseHold]:
        if api is None or not self._answers(api):
            yield ReleaseHold.none()
            return
        lock = ReleaseLock(self.release, self.holder, self.helm.environ, self.notes, self.timeouts)
        with lock.hold_release() as hold:
            yield hold
