"""One attempt to upgrade a release: helm does it, the monitor says whether it worked, and what did not is undone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from signal import SIGKILL, SIGTERM, Signals

from lineal import process
from lineal.deploy.helm import recovery
from lineal.deploy.helm.client import Answer, Helm, Output, silent
from lineal.deploy.release import Release
from lineal.deploy.release_lock import ReleaseHold
from lineal.deploy.watch.monitor import Monitor
from lineal.errors import DeployFailed, Interrupted, LinealError

_AT_LEAST = 10.0
"""Seconds that what helm calls deployed has to become ready, however long helm took."""


@dataclass(slots=True)
class Attempt:
    """One `helm upgrade --install`. Without a monitor, what helm says has to be believed."""

    helm: Helm
    release: Release
    output: Output = silent
    hold: ReleaseHold = field(default_factory=ReleaseHold.none)
    monitor: Monitor | None = None
    wait: bool = True
    """Whether helm waits too. It always does for hooks."""
    create: bool = True
    """Whether helm makes the namespace."""
    undone: str = field(init=False, default="")
    """A sentence about how the release was put back, which the error ends with; empty when it was not."""

    def run(self) -> None:
        """As long as the cluster can be reached, no revision of ours stays unfinished or broken; only when the Lease
        is lost, because another run may have begun, nothing is undone beside it. Raises `DeployFailed`,
        `BadConfiguration`, `Unreachable`, `Interrupted`."""
        start = time.monotonic()
        # Helm's own time included: a signal may come just after it has ended, or before it has begun.
        with process.noticed() as signals:
            answer = self._begin(lambda: self._stop() or (SIGTERM if signals else None))
            signals += answer.signals
            answer = replace(answer, signals=tuple(signals))
            unready = self._not_ready(start, signals) if answer.code == 0 else None
            error = unready or self._ended(answer, signals)
            if error is None:
                return
            if self._stop() is not SIGKILL and recovery.may_have_begun(answer, error):
                if self.monitor is not None:
                    self.monitor.give_up()
                self.undone = self._undo(deployed=unready is not None)
                error.message = f"{error.message} {self.undone}".rstrip()
        raise error

    def _begin(self, stop: process.Stop) -> Answer:
        return self.helm.upgrade(
            self.release, self.hold.mark, self.output, stop, self.hold.doubtful, wait=self.wait, create=self.create
        )

    def _undo(self, *, deployed: bool) -> str:
        """Put back what this attempt did, although helm may call it `deployed`; a sentence about that."""
        return recovery.undo_own(
            self.helm,
            self.release,
            self.hold.mark,
            deployed=deployed,
            wait=self.wait,
            killed=self.hold.killed,
            pause=self.hold.doubtful,
        )

    def _ended(self, answer: Answer, signals: list[Signals]) -> LinealError | None:
        """The error of helm, or the interruption that came too late to change anything."""
        if answer.code != 0:
            return self.helm.upgrade_failure(answer, self.release)
        return (
            Interrupted(f"Interrupted by {signals[0].name}, just when {self.release} was done.") if signals else None
        )

    def _not_ready(self, start: float, signals: list[Signals]) -> LinealError | None:
        """The error when the cluster does not have ready what helm calls deployed."""
        if self.monitor is None:
            return None
        timeout = self.release.timeout
        left = max(timeout + start - time.monotonic(), min(timeout, _AT_LEAST))
        if self.monitor.settled(left, lambda: not signals and self._stop() is None):
            return None
        if signals:
            return Interrupted(f"The deployment of {self.release} was interrupted by {signals[0].name}.")
        gone = "".join(f" {name} is not there." for name in self.monitor.missing)
        what = f"{str(self.release).capitalize()} was not ready within {timeout:g} s.{gone}"
        remedy = f"See `kubectl -n {self.release.namespace} get pods,events`, or raise `--timeout`."
        return DeployFailed(what, id="LN-6032", remedy=remedy)

    def _stop(self) -> Signals | None:
        """The signal for helm. SIGKILL when another run may have begun: helm must do nothing beside it."""
        if self.hold.lost.is_set():
            return SIGKILL
        return None if self.monitor is None else self.monitor.stop()
