"""The workloads of a release while helm waits for them: progress as lines, and when to stop waiting."""

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
    """In seconds."""

    poll: float = 1.0
    patience: float = 30.0
    """How long a trouble that may pass must last."""


@dataclass(slots=True)
class Observation:
    """A workload as it was last seen."""

    workload: Workload
    trouble: Diagnosis | None = None
    since: float = field(default_factory=time.monotonic)
    """When its trouble began."""

    def __str__(self) -> str:
        counted = f"{self.workload}: {self.workload.ready} of {self.workload.wanted} ready"
        return f"{counted}, {self.trouble}" if self.trouble is not None and not self.workload.done else counted


class Monitor:
    """Asks on a thread of its own; `stop` is for whoever runs helm. A cluster that does not let itself be watched is
    one line, and helm's own waiting is what remains."""

    def __init__(self, survey: WorkloadObserver, timeout: float, say: Say, pace: PollPolicy | None = None) -> None:
        """`timeout`: how long helm waits, in seconds. Asks what there is before helm changes it."""
        self._survey = survey
        self._timeout = timeout
        self._say = say
        self._pace = pace or PollPolicy()
        self._ended = threading.Event()
        self._blind = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.verdict: tuple[Workload, Diagnosis] | None = None
        self.seen: dict[str, Observation] = {}
        self._waiting: dict[str, Observation] = {}
        self._asked: dict[str, tuple[Version, float]] = {}
        """The first version of each workload that this deploy made, and when it was seen."""
        self._explained: set[str] = set()
        self.log: list[str] = []
        """The last lines of what failed."""
        self._before = {found.uid: found.version for found in self._look_first()}

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2 * self._pace.poll + 30)
        if not self._blind:
            self._show()  # how it ended

    def stop(self) -> signal.Signals | None:
        """What helm is to be told: to give up and roll back, once it is certain that waiting does not help."""
        return signal.SIGTERM if self.verdict is not None else None

    def unready(self) -> list[Observation]:
        """What was asked for and never became ready, as it was before it was rolled back; what says why comes first,
        and is explained if it is not yet."""
        found = sorted(self._waiting.values(), key=lambda seen: seen.trouble is None)
        if found and found[0].trouble is not None:
            self._explain(found[0])
        return found

    def _run(self) -> None:
        while not self._blind and not self._ended.wait(self._pace.poll):
            self._round()

    def _round(self) -> None:
        self._show()
        if self.verdict is None:
            self._judge()

    def _show(self) -> None:
        for found in self._look():
            if str(found) in self.seen or self._before.get(found.uid) != found.version or not found.done:
                self._update(found)  # not what was so before

    def _update(self, found: Workload) -> None:
        key, before = str(found), self.seen.get(str(found))
        said = None if before is None else str(before)
        now = Observation(found, None if found.done else self._survey.trouble(found))
        if before is not None and before.trouble is not None and now.trouble is not None:
            same = (before.trouble.reason, before.workload.version) == (now.trouble.reason, found.version)
            now.since = before.since if same else now.since
        self.seen[key] = now
        self._remember(key, now)
        if str(now) != said:
            self._say(str(now))

    def _remember(self, key: str, now: Observation) -> None:
        version = now.workload.version
        if self._before.get(now.workload.uid) == version:
            return
        asked, began = self._asked.setdefault(key, (version, time.monotonic()))
        if not asked.same_but_scaled(version):
            return  # helm is putting it back
        before = self._waiting.get(key)
        if before is None or now.trouble is not None or before.trouble is None:
            self._waiting[key] = now
        if now.workload.done:
            del self._waiting[key]
        elif time.monotonic() - began >= 0.8 * self._timeout:
            self._explain(now)  # once helm has given up, its pods and their logs are gone

    def _judge(self) -> None:
        for seen in self.seen.values():
            found = seen.trouble
            if found is None or found.certain is None or seen.workload.done:
                continue
            if not seen.workload.current or self._before.get(seen.workload.uid) == seen.workload.version:
                continue  # not what this deploy asked for
            if found.hopeless or self._lasts(seen, found):
                self._explain(seen)
                # Last: helm is told to stop as soon as it is there.
                self.verdict = (seen.workload, found)
                return

    def _lasts(self, seen: Observation, found: Diagnosis) -> bool:
        if found.certain:  # unless it waits for one of the others
            return all(other is seen or other.workload.done for other in self.seen.values())
        return time.monotonic() - seen.since >= self._pace.patience

    def _explain(self, seen: Observation) -> None:
        """Show the last events and log lines of what is in trouble, once."""
        if str(seen.workload) in self._explained:
            return
        self._explained.add(str(seen.workload))
        found = seen.trouble
        self._say(f"{seen.workload} does not become ready: {found}." if found else f"{seen}.")
        try:
            for event in self._survey.events(seen.workload, found):
                self._say(f"  event  {event}")
            if found is not None and found.container:
                self._show_log(found)
        except (KubeRefused, KubeUnavailable) as error:
            self._say(f"Its events and log cannot be read: {error}.")

    def _show_log(self, found: Diagnosis) -> None:
        printed = self._survey.log(found)
        if printed is None:
            return  # a container that never started has none
        self.log = printed
        where = f"{found.pod}, container {found.container}"
        self._say(f"The last lines of pod {where}:" if printed else f"Pod {where} printed nothing.")
        for line in printed:
            self._say(f"  | {line}")

    def _look_first(self) -> list[Workload]:
        """Who does not know what there was cannot tell what this deploy made of it."""
        try:
            return self._survey.workloads()
        except (KubeRefused, KubeUnavailable) as error:
            self._blind = True
            remedy = (
                " docs/deploy.md has the Role for it." if isinstance(error, KubeRefused) and error.forbidden else ""
            )
            self._say(f"The progress of workloads is not shown: {error}.{remedy}")
            return []

    def _look(self) -> list[Workload]:
        try:
            return self._survey.workloads()
        except (KubeRefused, KubeUnavailable):
            return []  # helm will say so, if it lasts
