"""The workloads of a release while helm waits for them: progress as lines, and a verdict when waiting does not
help."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lineal.deploy.watch.diagnosis import Diagnosis
from lineal.deploy.watch.observer import WorkloadObserver
from lineal.deploy.watch.workload import Version, Workload
from lineal.kube.client import KubeRefused
from lineal.kube.login import KubeUnavailable

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """Times in seconds."""

    poll: float = 1.0
    """The pause between two looks at the cluster."""
    patience: float = 30.0
    """How long a trouble that may pass must last until waiting is given up."""


@dataclass(slots=True)
class Observation:
    """A workload as it was last seen."""

    workload: Workload
    diagnosis: Diagnosis | None = None
    since: float = field(default_factory=time.monotonic)
    """When its trouble began, on the monotonic clock."""

    def __str__(self) -> str:
        counted = f"{self.workload}: {self.workload.ready} of {self.workload.wanted} ready"
        troubled = self.diagnosis is not None and not self.workload.done
        return f"{counted}, {self.diagnosis}" if troubled else counted


class Monitor:
    """As a context manager it polls on a thread of its own, while the caller runs helm and asks `stop`.

    When the cluster does not let itself be watched, one line says so, and helm waits alone."""

    def __init__(
        self, observer: WorkloadObserver, timeout: float, say: Say, policy: PollPolicy | None = None
    ) -> None:
        """`timeout`: how long helm waits, in seconds. Make it before helm changes anything: it looks at the workloads
        that are there already."""
        self._observer = observer
        self._timeout = timeout
        self._say = say
        self._policy = policy or PollPolicy()
        self._ended = threading.Event()
        self._blind = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.verdict: tuple[Workload, Diagnosis] | None = None
        """The workload that will not become ready, and why."""
        self.log: list[str] = []
        """The last lines that a failed container printed."""
        self._seen: dict[str, Observation] = {}
        self._unready: dict[str, Observation] = {}
        """The workloads that this deploy changed and that are not ready, in their last state before a rollback."""
        self._asked: dict[str, tuple[Version, float]] = {}
        """The first version of each workload that this deploy made, and when it was seen."""
        self._explained: set[str] = set()
        self._before = {found.uid: found.version for found in self._first_look()}

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2 * self._policy.poll + 30)
        if not self._blind:
            self._show()  # the final state

    def stop(self) -> signal.Signals | None:
        """The signal for helm: SIGTERM, so that it gives up and rolls back, once waiting does not help."""
        return signal.SIGTERM if self.verdict is not None else None

    def unready(self) -> list[Observation]:
        """The workloads of this deploy that never became ready, in their last state before the rollback. Those with a
        known cause come first; events and log of the first one are shown unless they were already."""
        found = sorted(self._unready.values(), key=lambda seen: seen.diagnosis is None)
        if found and found[0].diagnosis is not None:
            self._explain(found[0])
        return found

    def poll(self) -> None:
        """Look at the workloads once: show those that changed, and judge whether waiting still helps."""
        self._show()
        if self.verdict is None:
            self._judge()

    def _run(self) -> None:
        while not self._blind and not self._ended.wait(self._policy.poll):
            self.poll()

    def _show(self) -> None:
        for found in self._look():
            untouched = self._before.get(found.uid) == found.version
            if str(found) in self._seen or not untouched or not found.done:
                self._update(found)

    def _update(self, found: Workload) -> None:
        key, before = str(found), self._seen.get(str(found))
        said = None if before is None else str(before)
        now = Observation(found, None if found.done else self._observer.diagnose(found))
        if before is not None and before.diagnosis is not None and now.diagnosis is not None:
            same = (before.diagnosis.reason, before.workload.version) == (now.diagnosis.reason, found.version)
            now.since = before.since if same else now.since
        self._seen[key] = now
        self._remember(key, now)
        if str(now) != said:
            self._say(str(now))

    def _remember(self, key: str, now: Observation) -> None:
        """Keep the state of a workload that this deploy changed, until it is ready or helm puts it back."""
        version = now.workload.version
        if self._before.get(now.workload.uid) == version:
            return
        asked, began = self._asked.setdefault(key, (version, time.monotonic()))
        if not asked.same_but_scaled(version):
            return  # helm is putting it back
        before = self._unready.get(key)
        if before is None or now.diagnosis is not None or before.diagnosis is None:
            self._unready[key] = now
        if now.workload.done:
            del self._unready[key]
        elif time.monotonic() - began >= 0.8 * self._timeout:
            self._explain(now)  # once helm has given up, its pods and their logs are gone

    def _judge(self) -> None:
        for seen in self._seen.values():
            found = seen.diagnosis
            if found is None or found.certain is None or seen.workload.done:
                continue
            if not seen.workload.current or self._before.get(seen.workload.uid) == seen.workload.version:
                continue  # not the version that this deploy asked for
            if found.terminal or self._lasts(seen, found):
                self._explain(seen)
                # Last: helm is told to stop as soon as there is a verdict.
                self.verdict = (seen.workload, found)
                return

    def _lasts(self, seen: Observation, found: Diagnosis) -> bool:
        """Whether a trouble that may pass has had its time; a certain one, unless it waits for another workload."""
        if found.certain:
            return all(other is seen or other.workload.done for other in self._seen.values())
        return time.monotonic() - seen.since >= self._policy.patience

    def _explain(self, seen: Observation) -> None:
        """Show the last events and log lines of a workload in trouble, once."""
        if str(seen.workload) in self._explained:
            return
        self._explained.add(str(seen.workload))
        found = seen.diagnosis
        self._say(f"{seen.workload} does not become ready: {found}." if found else f"{seen}.")
        try:
            for event in self._observer.events(seen.workload, found):
                self._say(f"  event  {event}")
            if found is not None and found.container:
                self._show_log(found)
        except (KubeRefused, KubeUnavailable) as error:
            self._say(f"Its events and log cannot be read: {error}.")

    def _show_log(self, found: Diagnosis) -> None:
        printed = self._observer.log(found)
        if printed is None:
            return  # a container that never started has no log
        self.log = printed
        where = f"{found.pod}, container {found.container}"
        self._say(f"The last lines of pod {where}:" if printed else f"Pod {where} printed nothing.")
        for line in printed:
            self._say(f"  | {line}")

    def _first_look(self) -> list[Workload]:
        """The workloads before helm changes them: without these, this deploy cannot be told from earlier ones."""
        try:
            return self._observer.workloads()
        except (KubeRefused, KubeUnavailable) as error:
            self._blind = True
            forbidden = isinstance(error, KubeRefused) and error.forbidden
            remedy = " docs/deploy.md has the Role for it." if forbidden else ""
            self._say(f"The progress of workloads is not shown: {error}.{remedy}")
            return []

    def _look(self) -> list[Workload]:
        try:
            return self._observer.workloads()
        except (KubeRefused, KubeUnavailable):
            return []  # if this lasts, helm tells
