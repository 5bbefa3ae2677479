"""The workloads of a release while helm waits for them: progress as lines, and a verdict when waiting does not
help."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from lineal.deploy.watch.diagnosis import Diagnosis
from lineal.deploy.watch.observer import WorkloadObserver
from lineal.deploy.watch.workload import Workload
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
    jobs: float = 30.0
    """How long a Job that is no hook is waited for, and the first pods of what somebody updates by hand (OnDelete).
    Helm does not wait for these, and they may take their time; but one that fails soon is a deploy that failed,
    whatever else became ready first."""


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


@dataclass(frozen=True, slots=True)
class Others:
    """What a deploy waits for beside workloads: volumes, pods of their own, addresses."""

    unmet: Callable[[], list[str]] = list
    """Sentences about those that are not ready."""
    awaited: bool = False
    """Whether helm does not wait for them."""

    @property
    def late(self) -> bool:
        return self.awaited and bool(self.unmet())


class Monitor:
    """As a context manager it polls on a thread of its own, while the caller runs helm and asks `stop`.

    When the cluster does not let itself be watched, one line says so, and helm waits alone."""

    def __init__(
        self, observer: WorkloadObserver, say: Say, policy: PollPolicy | None = None, wanted: Collection[str] = (),
        others: Others | None = None, *, repairs: bool = False,
    ) -> None:  # fmt: skip
        """Make it before helm changes anything: it looks at the workloads that are there already. `wanted` are those
        that must be there in the end: `Deployment shop`. `repairs`: the deploy is to make ready what is not, so that
        counts as what it changes."""
        self._observer = observer
        self._wanted = wanted
        self.missing: list[str] = []
        """Those of `wanted` that were not there at the last look."""
        self._others = others or Others()
        self.unmet: list[str] = []
        """What was not ready beside workloads when the deploy was given up."""
        self._say = say
        self._policy = policy or PollPolicy()
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._blind = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.verdict: tuple[Workload, Diagnosis] | None = None
        """The workload that will not become ready, and why."""
        self.log: list[str] = []
        """The last lines that a failed container printed."""
        self._seen: dict[str, Observation] = {}
        self._unready: dict[str, Observation] = {}
        """The workloads that this deploy changed and that were not ready yet, in their last state."""
        self._settled, self._given_up = False, False
        self._explained: set[str] = set()
        self._before = {found.uid: found.version for found in self._first_look() if found.done or not repairs}

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2 * self._policy.poll + 30)
        if not self._blind and not self._settled:
            with self._turn:
                self._show()  # the final state

    def stop(self) -> signal.Signals | None:
        """The signal for helm: SIGTERM, so that it gives up, once waiting does not help."""
        return signal.SIGTERM if self.verdict is not None else None

    def give_up(self) -> None:
        """Call it before the release is put back: from then on, what becomes ready is not what this deploy made.

        Events and log of a workload that is not ready are shown now, unless they were already: its pods will go."""
        with self._turn:
            if not self._blind:
                self._show()  # helm may have seen a failure before us
            self._given_up = True
            found = self.unready()
            self.unmet = [] if found else self._others.unmet()
            if self.verdict is None and found and found[0].diagnosis is not None:
                self._explain(found[0])

    def unready(self) -> list[Observation]:
        """The workloads of this deploy that never became ready. Those with a known cause come first."""
        return sorted(self._unready.values(), key=lambda seen: seen.diagnosis is None)

    def settled(self, seconds: float, go_on: Callable[[], bool]) -> bool:
        """Wait until everything that this deploy changed was seen ready: helm takes some for ready that is not. False
        when that does not come, or not within `seconds`, or when `go_on` says so."""
        start, told = time.monotonic(), False
        while not self._blind:
            looked, spent = self.poll(), time.monotonic() - start
            if self.verdict is not None:
                return False
            soon = spent < min(seconds, self._policy.jobs)
            if looked and not self.missing and not self._awaited(soon=soon) and not self._others.late:
                self._settled = True
                return True
            if spent >= seconds or not go_on():
                return False
            if not told:
                told = True
                self._say("helm takes all of it for ready. What it changed is waited for until it is.")
            self._ended.wait(min(self._policy.poll, 0.5))
        return True

    def still_running(self) -> list[Observation]:
        """The Jobs of this deploy, hooks apart, that have not ended."""
        return [seen for seen in self._unready.values() if seen.workload.kind == "jobs" and not self._is_hook(seen)]

    def left_alone(self) -> list[Observation]:
        """The workloads that this deploy changed, and whose controllers wait for somebody."""
        changed = [seen for seen in self._seen.values() if seen.workload.left_alone]
        return [seen for seen in changed if self._before.get(seen.workload.uid) != seen.workload.version]

    def _awaited(self, *, soon: bool) -> list[Observation]:
        """Those that are not ready. Jobs, and pods that somebody else changes, only `soon` after helm has ended."""
        unready = [seen for seen in self._unready.values() if not self._is_hook(seen)]
        return [seen for seen in unready if soon or (seen.workload.kind != "jobs" and not seen.workload.left_alone)]

    def poll(self) -> bool:
        """Look at the workloads once: show those that changed, and judge whether waiting still helps. False when the
        cluster did not answer."""
        with self._turn:
            looked = self._show()
            if self.verdict is None and not self._given_up:
                self._judge()
        return looked

    def _run(self) -> None:
        while not self._blind and not self._ended.wait(self._policy.poll):
            self.poll()

    def _show(self) -> bool:
        found = self._look()
        for one in found or ():
            untouched = self._before.get(one.uid) == one.version
            if str(one) in self._seen or not untouched or not one.done:
                self._update(one)
        if found is not None:
            there = {str(one) for one in found}
            hidden = tuple(f" in namespace {name}" for name in self._observer.hidden)
            self.missing = [name for name in self._wanted if name not in there and not name.endswith(hidden)]
            self._forget_jobs(there)
        return found is not None

    def _forget_jobs(self, there: set[str]) -> None:
        """A Job that is gone had ended: its TTL deletes it, or a hook's own rule."""
        gone = [key for key, seen in self._seen.items() if seen.workload.kind == "jobs" and key not in there]
        for key in gone:
            seen = self._seen.pop(key)
            if not self._given_up and not self._is_hook(seen):
                self._unready.pop(key, None)

    def _is_hook(self, seen: Observation) -> bool:
        return self._observer.is_hook(seen.workload)

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
        """Keep the state of a workload that this deploy changed, until it is ready."""
        if self._given_up:
            return
        before = self._unready.get(key)
        if now.workload.done or self._before.get(now.workload.uid) == now.workload.version:
            self._unready.pop(key, None)
        elif before is None or now.diagnosis is not None or before.diagnosis is None:
            self._unready[key] = now

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
        except (KubeRefused, KubeUnavailable) as error:
            self._say(f"Its events cannot be read: {error}.")
        if found is not None and found.container:
            self._show_log(found)

    def _show_log(self, found: Diagnosis) -> None:
        try:
            printed = self._observer.log(found)
        except KubeUnavailable as error:
            self._say(f"Its log cannot be read: {error}.")
            return
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

    def _look(self) -> list[Workload] | None:
        try:
            return [replace(one, awaited=self._is_awaited(one)) for one in self._observer.workloads()]
        except (KubeRefused, KubeUnavailable):
            return None  # if this lasts, helm tells

    def _is_awaited(self, found: Workload) -> bool:
        return self._observer.is_hook(found) or (found.by_hand and found.uid not in self._before)
