"""A release from what the cluster has to what the commit says: alone, watched, told in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGKILL, Signals

from lineal.config.secrets import Mask
from lineal.deploy.helm import errors, manifests, recovery, template_location
from lineal.deploy.helm.client import Helm
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.release import Release
from lineal.deploy.release_lock import ReleaseLock, Turn, make_namespace
from lineal.deploy.watch.monitor import Monitor, PollPolicy
from lineal.deploy.watch.observer import WorkloadObserver
from lineal.errors import DeployFailed, Interrupted, LinealError
from lineal.kube.client import KubeClient
from lineal.kube.login import KubeUnavailable
from lineal.lock import LockTimeouts
from lineal.report.model import ReleaseReport

Say = Callable[[str], None]


@dataclass(slots=True)
class Upgrade:
    """`run` once. `report` says at any time, and after any failure, what the release has come to."""

    helm: Helm
    release: Release
    note: Say
    warn: Say
    stopped: threading.Event = field(default_factory=threading.Event)
    pace: PollPolicy = field(default_factory=PollPolicy)
    terms: LockTimeouts | None = None
    report: ReleaseReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = ReleaseReport(name=self.release.name, namespace=self.release.namespace, status="not deployed")

    def run(self, skip_unchanged: bool) -> ReleaseReport:
        """Call it on the main thread, see `Helm.upgrade`. Raises `LinealError`."""
        from lineal.deploy.helm import dependencies

        start = time.monotonic()
        dependencies.complete(self.helm, self.release, self.note)
        api = self._api()
        try:
            with self._turn(api) as turn:
                if turn.alone:
                    self._tell(recovery.undo_killed(self.helm, self.release))
                self._go(api, turn, skip_unchanged)
        finally:
            self.report.duration = time.monotonic() - start
        return self.report

    def _go(self, api: KubeClient | None, turn: Turn, skip_unchanged: bool) -> None:
        try:
            wanted = manifests.dry_run(self.helm, self.release)
        except DeployFailed as error:
            error.place = error.place or template_location.find(error.message, self.release, "")
            raise
        before = manifests.deployed(self.helm, self.release)
        if skip_unchanged and before is not None and before.status == "deployed" and before.same(wanted):
            self.report.status, self.report.revision = "unchanged", before.number
            self.note(f"Nothing changed in {self.release} since revision {before.number}, so nothing is deployed.")
            return
        watch = None if api is None else self._watch(api, wanted)
        try:
            if watch is None:
                self.helm.upgrade(self.release, self.note, lambda: _lost(turn))
            else:
                with watch:
                    self.helm.upgrade(self.release, self.note, lambda: _lost(turn) or watch.stop())
        except LinealError as error:
            error.place = error.place or template_location.find(error.message, self.release, wanted.manifest)
            raise self._failed(error, before, watch, turn) from None
        self.report.status, self.report.revision = "deployed", wanted.number
        done = "installed" if before is None else "upgraded"
        self._tell(f"It was {done} as revision {wanted.number}.")

    def _watch(self, api: KubeClient, wanted: ReleaseManifests) -> Monitor:
        secrets = Mask(wanted.secrets)  # a container that dies often prints what it was given
        survey = WorkloadObserver(api, self.release, lambda text: secrets.mask(self.helm.mask(text)), wanted.jobs)
        return Monitor(survey, self.release.timeout, self._masked, self.pace)

    def _failed(
        self, error: LinealError, before: ReleaseManifests | None, watch: Monitor | None, turn: Turn
    ) -> LinealError:
        if turn.lost.is_set():
            what = f"The Lease of {self.release} was lost while it was deployed, so another job may have begun."
            return DeployFailed(what, remedy="See `helm history`, and run it again.")
        if watch is not None and not isinstance(error, Interrupted):
            error = self._explained(error, watch)
        said = self._state(before)
        plain = errors.without_undone(error.message)
        if said and said not in plain:
            error.message = f"{plain} {said}"
        return error

    def _explained(self, error: LinealError, watch: Monitor) -> LinealError:
        """What helm does not know: which pod, and why."""
        if watch.verdict is not None:
            workload, trouble = watch.verdict
            what = f"{workload} in namespace {self.release.namespace} will not become ready: {trouble}."
            said = DeployFailed(what, remedy=trouble.remedy)
        else:
            unready = [str(seen) for seen in watch.unready()[:3]]
            if not unready:
                return error
            what = errors.without_undone(error.message)
            said = DeployFailed(f"{what} {'; '.join(unready)}.", remedy=error.remedy)
            said.place = error.place
        self.report.log = watch.log
        return said

    def _state(self, before: ReleaseManifests | None) -> str:
        """What is there now, asked once more: the only thing that counts after a failure."""
        try:
            found = manifests.deployed(self.helm, self.release)
        except LinealError:
            self.report.status = "unknown"
            return ""
        if found is None:
            self.report.status = "uninstalled"
            said = "It was a first installation and has been uninstalled." if before is None else ""
        elif before is not None and found.number == before.number:
            self.report.status, self.report.revision = "not deployed", found.number
            said = f"Nothing was changed: it is still revision {found.number}."
        elif found.status == "deployed" and found.restored is not None:
            self.report.status, self.report.revision = "rolled back", found.number
            said = f"It was rolled back: it is as in revision {found.restored} again."
        else:
            self.report.status, self.report.revision = found.status, found.number
            said = f"Its revision {found.number} is {found.status}."
        self._tell(said)
        return said

    def _tell(self, sentence: str) -> None:
        """In the log and, in the same words, in the report."""
        if sentence:
            self.note(sentence)
            self.report.told.append(sentence)

    def _masked(self, line: str) -> None:
        self.note(self.helm.mask(line))

    # --- the cluster --------------------------------------------------------------------------------------------

    def _api(self) -> KubeClient | None:
        try:
            return KubeClient.of_helm(self.helm.environ, self.release.kube_context)
        except KubeUnavailable as error:
            self.note(f"Only helm waits, and shows no progress: {error}.")
            return None

    def _answers(self, api: KubeClient) -> bool:
        try:
            make_namespace(api, self.release.namespace)
        except KubeUnavailable as error:
            self.warn(f"Whether another job deploys {self.release} at the same time is not known: {error}.")
            return False
        return True

    @contextmanager
    def _turn(self, api: KubeClient | None) -> Iterator[Turn]:
        if api is None or not self._answers(api):
            yield Turn(False, threading.Event())
            return
        lock = ReleaseLock.of(self.release, self.helm.environ, self.warn, self.note, self.stopped, self.terms)
        with lock.turn() as turn:
            yield turn


def _lost(turn: Turn) -> Signals | None:
    """No rolling back beside another run."""
    return SIGKILL if turn.lost.is_set() else None
