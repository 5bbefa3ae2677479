"""A release from what the cluster has to what the commit says: alone, watched, told in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGKILL, Signals

from lineal.cluster.access import Unavailable
from lineal.cluster.api import Api
from lineal.config.secrets import Mask
from lineal.deploy import live, pending, places, reasons
from lineal.deploy.helm import Helm
from lineal.deploy.live import Rendering
from lineal.deploy.release import Release
from lineal.deploy.survey import Survey
from lineal.deploy.turn import ReleaseLock, Turn, make_namespace
from lineal.deploy.watch import Pace, Watch
from lineal.errors import DeployFailed, Interrupted, LinealError
from lineal.lock import Terms
from lineal.report.json import ReleaseReport

Say = Callable[[str], None]


@dataclass(slots=True)
class Upgrade:
    """`run` once. `report` says at any time, and after any failure, what the release has come to."""

    helm: Helm
    release: Release
    note: Say
    warn: Say
    stopped: threading.Event = field(default_factory=threading.Event)
    pace: Pace = field(default_factory=Pace)
    terms: Terms | None = None
    report: ReleaseReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = ReleaseReport(name=self.release.name, namespace=self.release.namespace, status="not deployed")

    def run(self, skip_unchanged: bool) -> ReleaseReport:
        """Call it on the main thread, see `Helm.upgrade`. Raises `LinealError`."""
        from lineal.deploy import dependencies

        start = time.monotonic()
        dependencies.complete(self.helm, self.release, self.note)
        api = self._api()
        try:
            with self._turn(api) as turn:
                if turn.alone:
                    self._tell(pending.recover(self.helm, self.release))
                self._go(api, turn, skip_unchanged)
        finally:
            self.report.duration = time.monotonic() - start
        return self.report

    def _go(self, api: Api | None, turn: Turn, skip_unchanged: bool) -> None:
        try:
            wanted = live.wanted(self.helm, self.release)
        except DeployFailed as error:
            error.place = error.place or places.find(error.message, self.release, "")
            raise
        before = live.now(self.helm, self.release)
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
            error.place = error.place or places.find(error.message, self.release, wanted.manifest)
            raise self._failed(error, before, watch, turn) from None
        self.report.status, self.report.revision = "deployed", wanted.number
        done = "installed" if before is None else "upgraded"
        self._tell(f"It was {done} as revision {wanted.number}.")

    def _watch(self, api: Api, wanted: Rendering) -> Watch:
        secrets = Mask(wanted.secrets)  # a container that dies often prints what it was given
        survey = Survey(api, self.release, lambda text: secrets.mask(self.helm.mask(text)), wanted.jobs)
        return Watch(survey, self.release.timeout, self._masked, self.pace)

    def _failed(self, error: LinealError, before: Rendering | None, watch: Watch | None, turn: Turn) -> LinealError:
        if turn.lost.is_set():
            what = f"The Lease of {self.release} was lost while it was deployed, so another job may have begun."
            return DeployFailed(what, remedy="See `helm history`, and run it again.")
        if watch is not None and not isinstance(error, Interrupted):
            error = self._explained(error, watch)
        said = self._state(before)
        plain = reasons.without_undone(error.message)
        if said and said not in plain:
            error.message = f"{plain} {said}"
        return error

    def _explained(self, error: LinealError, watch: Watch) -> LinealError:
        """What helm does not know: which pod, and why."""
        if watch.verdict is not None:
            workload, trouble = watch.verdict
            what = f"{workload} in namespace {self.release.namespace} will not become ready: {trouble}."
            said = DeployFailed(what, remedy=trouble.remedy)
        else:
            unready = [str(seen) for seen in watch.unready()[:3]]
            if not unready:
                return error
            what = reasons.without_undone(error.message)
            said = DeployFailed(f"{what} {'; '.join(unready)}.", remedy=error.remedy)
            said.place = error.place
        self.report.log = watch.log
        return said

    def _state(self, before: Rendering | None) -> str:
        """What is there now, asked once more: the only thing that counts after a failure."""
        try:
            found = live.now(self.helm, self.release)
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

    def _api(self) -> Api | None:
        try:
            return Api.of_helm(self.helm.environ, self.release.kube_context)
        except Unavailable as error:
            self.note(f"Only helm waits, and shows no progress: {error}.")
            return None

    def _answers(self, api: Api) -> bool:
        try:
            make_namespace(api, self.release.namespace)
        except Unavailable as error:
            self.warn(f"Whether another job deploys {self.release} at the same time is not known: {error}.")
            return False
        return True

    @contextmanager
    def _turn(self, api: Api | None) -> Iterator[Turn]:
        if api is None or not self._answers(api):
            yield Turn(False, threading.Event())
            return
        lock = ReleaseLock.of(self.release, self.helm.environ, self.warn, self.note, self.stopped, self.terms)
        with lock.turn() as turn:
            yield turn


def _lost(turn: Turn) -> Signals | None:
    """No rolling back beside another run."""
    return SIGKILL if turn.lost.is_set() else None
