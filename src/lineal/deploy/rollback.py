"""The way back to an earlier revision of a release, with the same Lease and the same watch as an upgrade."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass

from lineal import process
from lineal.deploy.attempt import Attempt
from lineal.deploy.helm import manifests, recovery
from lineal.deploy.helm.client import Answer
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.operation import Operation
from lineal.deploy.release import Release
from lineal.deploy.release_lock import ReleaseHold
from lineal.errors import BadConfiguration, DeployFailed, Interrupted, LinealError
from lineal.kube.client import KubeClient
from lineal.report.model import ReleaseReport

_SHOWN = 10
"""Revisions that an error names."""


@dataclass(slots=True)
class _Return(Attempt):
    """One `helm rollback`. What does not become ready stays: the revision that was left is the one that was bad."""

    number: int = 0

    def _begin(self, stop: process.Stop) -> Answer:
        release = self.release
        flags = [*self.helm.rollback_flags(release, wait=self.wait), *release.place_flags]
        command = ["rollback", *flags, "--timeout", f"{round(release.timeout * 1000)}ms", "--", release.name]
        return self.helm.run(
            [*command, str(self.number)], output=self.output, echo=True, stop=stop, pause=self.hold.doubtful,
            tethered=True,
        )  # fmt: skip

    def _undo(self, *, deployed: bool) -> str:
        del deployed
        return recovery.finish_rollback(self.helm, self.release, self.number, pause=self.hold.doubtful)


class Rollback(Operation):
    __slots__ = ()

    def run(self, revision: int | None) -> ReleaseReport:
        """Go back to a revision, by default the last one before this that worked, and wait until it is ready. Call it
        on the main thread. Raises `LinealError`."""
        start = time.monotonic()
        if manifests.deployed(self.helm, self.release) is None:
            raise absent(self.release)
        api = self._api()
        try:
            with self._locked(api) as hold:
                self._carry_out(api, hold, revision)
        finally:
            self.report.duration = time.monotonic() - start
        return self.report

    def _carry_out(self, api: KubeClient | None, hold: ReleaseHold, revision: int | None) -> None:
        before = self._before(hold)
        if before is None:
            raise absent(self.release)
        self.report.status, self.report.revision = before.status, before.number
        number = self._target(before, revision)
        wanted = manifests.deployed(self.helm, self.release, number)
        if wanted is None:
            raise absent(self.release)
        self.notes.note(f"Rolling {self.release} back from revision {before.number} to revision {number}.")
        skip = self.helm.major > 3 and api is not None and wanted.never_ready and not wanted.after_hooks
        monitor = None if api is None else self._monitor(api, wanted, before.same(wanted), alone=skip)
        attempt = _Return(self.helm, self.release, self._helm_said, hold, monitor, wait=not skip, number=number)
        try:
            with monitor or nullcontext():
                attempt.run()
        except LinealError as error:
            raise self._failed(error, before, attempt) from None
        found = manifests.deployed(self.helm, self.release)
        self.report.status, self.report.revision = "rolled back", found.number if found else None
        self._tell(f"It was rolled back to revision {number}, as revision {self.report.revision}.")

    def _target(self, before: ReleaseManifests, revision: int | None) -> int:
        """The revision to go back to. Raises `BadConfiguration` and `DeployFailed`."""
        revisions = recovery.revisions_of(self.helm, self.release)
        if revision is None:
            # After a rollback, the one before that which is as before now.
            known = [one for one in revisions if one.number <= (before.restored or before.number)]
            good = recovery.last_good(known) if known else None
            if good is None:
                what = (
                    f"There is no revision of {self.release} before {before.restored or before.number} that worked."
                )
                raise DeployFailed(what, id="LN-6069", remedy="See `helm history`, or name one: `lineal rollback 3`.")
            return good
        if revision not in [one.number for one in revisions if not one.uninstalled]:
            known_numbers = ", ".join(str(one.number) for one in revisions[-_SHOWN:]) or "none"
            what = f"There is no revision {revision} of {self.release} to go back to; helm keeps {known_numbers}."
            raise BadConfiguration(what, id="LN-6071", remedy="Name one of these.")
        return revision

    def _failed(self, error: LinealError, before: ReleaseManifests, attempt: _Return) -> LinealError:
        """The error with the cause that the monitor knows, and the state that the release is in now."""
        if attempt.hold.lost.is_set():
            what = f"The Lease of {self.release} was lost while it was rolled back, so another job may have begun."
            return DeployFailed(what, id="LN-6035", remedy="See `helm history`, and run it again.")
        error.message = error.message.removesuffix(attempt.undone).rstrip()
        if isinstance(error, Interrupted):
            error.message = f"The rollback of {self.release} was interrupted."
        elif attempt.monitor is not None:
            error = self._explained(error, attempt.monitor)
        said = self._state(before, attempt.undone)
        error.message = f"{error.message} {said}".rstrip()
        return error

    def _state(self, before: ReleaseManifests, undone: str) -> str:
        try:
            found = manifests.deployed(self.helm, self.release)
        except LinealError:
            self.report.status = "unknown"
            return undone
        if found is not None and found.number == before.number:
            said = f"Nothing was changed: it is still revision {before.number}."
            self.report.status = "not deployed"
        elif found is not None:
            self.report.status, self.report.revision = found.status, found.number
            as_is = f", as revision {found.restored}," if found.restored else ""
            said = f"{undone} Its revision {found.number}{as_is} stays, and is {found.status} to helm."
        else:
            self.report.status, said = "unknown", undone
        self._tell(said.strip())
        return said.strip()


def absent(release: Release) -> DeployFailed:
    what = f"There is no {release}."
    return DeployFailed(what, id="LN-6068", remedy="Correct `--release`, `--namespace`, `--env` or the cluster.")
