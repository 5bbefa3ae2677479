"""The upgrade of a release: it is locked, compared with what is deployed, upgraded by helm, and watched meanwhile."""

from __future__ import annotations

import time
from contextlib import nullcontext

from lineal.config.secrets import Mask
from lineal.deploy import drift, takeover
from lineal.deploy.attempt import Attempt
from lineal.deploy.cluster_objects import ClusterObjects
from lineal.deploy.ending import objects_gone
from lineal.deploy.findings import findings, stays
from lineal.deploy.helm import dependencies, manifests, template_location
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.operation import Operation
from lineal.deploy.release_lock import ReleaseHold
from lineal.errors import DeployFailed, Interrupted, LinealError
from lineal.kube.client import KubeClient
from lineal.report.model import ReleaseReport

_NAMED = 5
"""Objects of the cluster that are named."""


class Upgrade(Operation):
    __slots__ = ()

    def run(self, skip_unchanged: bool) -> ReleaseReport:
        """Call it on the main thread, see `Helm.upgrade`. Raises `LinealError`."""
        start = time.monotonic()
        dependencies.complete(self.helm, self.release, self.notes.note)
        api = self._api()
        try:
            with self._locked(api) as hold:
                self._apply(api, hold, skip_unchanged)
        finally:
            self.report.duration = time.monotonic() - start
        return self.report

    def _apply(self, api: KubeClient | None, hold: ReleaseHold, skip_unchanged: bool) -> None:
        before = self._before(hold)
        if api is not None and before is not None and before.status == "deployed":
            for sentence in drift.sentences(api, self.release, before)[:_NAMED]:
                self._tell(sentence)
        try:
            wanted = manifests.dry_run(self.helm, self.release)
        except DeployFailed as error:
            error.place = error.place or template_location.find(error.message, self.release, "")
            raise
        objects = None if api is None else ClusterObjects(api, self.release.namespace)
        for sentence in findings(self.release, wanted, before, objects):
            self.notes.warn(sentence)
        if skip_unchanged and before is not None and before.status == "deployed" and before.same(wanted):
            lost = objects.lost(wanted.objects)[1] if objects else []
            if not lost:
                self.report.status, self.report.revision = "unchanged", before.number
                self.notes.note(
                    f"Nothing changed in {self.release} since revision {before.number}, so nothing is deployed."
                )
                return
            self._tell(f"Nothing changed in {self.release}, but {'; '.join(lost[:_NAMED])}: it is deployed again.")
        if objects is not None and before is None:
            objects_gone(objects, wanted, self.release, self.notes)
        if api is not None and before is not None and self.release.server_side:
            for sentence in takeover.taken(api, self.release, wanted.objects):
                self._tell(sentence)
        repairs = bool(hold.killed) or (before is not None and before.same(wanted))
        # Helm 4 alone does not wait for these either; for all else there is the monitor.
        skip = self.helm.major > 3 and api is not None and wanted.never_ready and not wanted.after_hooks
        monitor = None if api is None else self._monitor(api, wanted, repairs, alone=skip)
        attempt = Attempt(
            self.helm, self.release, self._helm_said, hold, monitor, wait=not skip, create=not self._has_namespace
        )
        try:
            with monitor or nullcontext():
                attempt.run()
        except LinealError as error:
            error.place = error.place or template_location.find(error.message, self.release, wanted.manifest)
            failed = self._failed(error, before, attempt)
            if objects and self.report.status == "uninstalled" and (claims := objects.claims(wanted.objects)):
                self._tell(stays(claims))
                failed.message = f"{failed.message} {stays(claims)}"
            raise failed from None
        self.report.status, self.report.revision = "deployed", wanted.number
        done = "installed" if before is None else "upgraded"
        self._show_notes(wanted)
        self._tell(f"It was {done} as revision {wanted.number}.")
        for seen in monitor.still_running() if monitor else ():
            self._tell(f"{seen}: it has not ended, and a deploy waits only for Jobs that are hooks.")
        for seen in monitor.left_alone() if monitor else ():
            about = f"{seen.workload}:" if seen.workload.done else f"{seen};"
            self._tell(f"{about} {seen.workload.left_alone}.")

    def _show_notes(self, wanted: ReleaseManifests) -> None:
        """The chart's notes without the values of its Secrets, which many charts print there."""
        given = Mask(wanted.secrets)
        for line in wanted.notes.splitlines():
            self._note_masked(given.mask(line))

    def _failed(self, error: LinealError, before: ReleaseManifests | None, attempt: Attempt) -> LinealError:
        """The error with the cause that the monitor knows, and the state that the release is in now."""
        if attempt.hold.lost.is_set():
            what = f"The Lease of {self.release} was lost while it was deployed, so another job may have begun."
            return DeployFailed(what, id="LN-6035", remedy="See `helm history`, and run it again.")
        error.message = error.message.removesuffix(attempt.undone).rstrip()
        if attempt.monitor is not None and not isinstance(error, Interrupted):
            error = self._explained(error, attempt.monitor)
        said = self._state(before, attempt.undone)
        if said not in error.message:
            error.message = f"{error.message} {said}"
        return error

    def _state(self, before: ReleaseManifests | None, undone: str) -> str:
        """Ask once more for the state of the release, put it into the report, and return a sentence about it.
        `undone` says what was done to put it back."""
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
            said = f"{undone} Its revision {found.number} is {found.status}.".lstrip()
        self._tell(said)
        return said
