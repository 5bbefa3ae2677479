"""The workloads of a release while helm waits for them: progress as lines, and when to stop waiting."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from lineal.cluster.access import Unavailable
from lineal.cluster.api import Api, Refused, path
from lineal.deploy import trouble
from lineal.deploy.fields import number, text
from lineal.deploy.release import Release
from lineal.deploy.trouble import Trouble
from lineal.deploy.workload import GROUPS, KINDS, Workload, newest

_LINES = 20
"""Of a log."""
_EVENTS = 3
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds."""

    poll: float = 1.0
    patience: float = 30.0
    """How long a trouble that may pass must last."""


@dataclass(slots=True)
class Seen:
    """A workload as it was last seen."""

    workload: Workload
    trouble: Trouble | None = None
    since: float = field(default_factory=time.monotonic)
    """When its trouble began."""

    def __str__(self) -> str:
        counted = f"{self.workload}: {self.workload.ready} of {self.workload.wanted} ready"
        return f"{counted}, {self.trouble}" if self.trouble is not None and not self.workload.done else counted


class Watch:
    """Asks on a thread of its own; `stop` is for whoever runs helm. A cluster that does not let itself be watched is
    one line, and helm's own waiting is what remains."""

    def __init__(
        self, api: Api, release: Release, say: Say, mask: Callable[[str], str], jobs: Collection[str] = (),
        pace: Pace | None = None,
    ) -> None:  # fmt: skip
        """`mask` takes secrets out of what containers print; `jobs`: the names of the Jobs that are hooks.

        Asks what there is before helm changes it."""
        self._api = api
        self._release = release
        self._say = say
        self._mask = mask
        self._jobs = jobs
        self._pace = pace or Pace()
        self._ended = threading.Event()
        self._blind = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.verdict: tuple[Workload, Trouble] | None = None
        self.seen: dict[str, Seen] = {}
        self._waiting: dict[str, Seen] = {}
        self._asked: dict[str, tuple[tuple[str, str], float]] = {}
        """The first version of each workload that this deploy made, and when it was seen."""
        self._explained: set[str] = set()
        self.log: list[str] = []
        """The last lines of what failed."""
        self._before = {found.uid: found.version for found in self._look()}

    def __enter__(self) -> Watch:
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

    def unready(self) -> list[Seen]:
        """What was asked for and never became ready, as it was before it was rolled back."""
        return list(self._waiting.values())

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
        now = Seen(found, None if found.done else self._trouble(found))
        if before is not None and before.trouble is not None and now.trouble is not None:
            same = (before.trouble.reason, before.workload.version) == (now.trouble.reason, found.version)
            now.since = before.since if same else now.since
        self.seen[key] = now
        self._remember(key, now)
        if str(now) != said:
            self._say(str(now))

    def _remember(self, key: str, now: Seen) -> None:
        version = now.workload.version
        if self._before.get(now.workload.uid) == version:
            return
        asked, began = self._asked.setdefault(key, (version, time.monotonic()))
        if asked != version:
            return  # helm is putting it back
        before = self._waiting.get(key)
        if before is None or now.trouble is not None or before.trouble is None:
            self._waiting[key] = now
        if now.workload.done:
            del self._waiting[key]
        elif time.monotonic() - began >= 0.8 * self._release.timeout and key not in self._explained:
            self._explained.add(key)
            self.explain(now)  # once helm has given up, its pods and their logs are gone

    def _judge(self) -> None:
        for seen in self.seen.values():
            found = seen.trouble
            if found is None or found.certain is None or seen.workload.done:
                continue
            if not seen.workload.current or self._before.get(seen.workload.uid) == seen.workload.version:
                continue  # not what this deploy asked for
            if found.certain or time.monotonic() - seen.since >= self._pace.patience:
                self.explain(seen)
                # Last: helm is told to stop as soon as it is there.
                self.verdict = (seen.workload, found)
                return

    def explain(self, seen: Seen) -> None:
        """Show the last events and log lines of what is in trouble."""
        found = seen.trouble
        self._say(f"{seen.workload} does not become ready: {found}." if found else f"{seen}.")
        try:
            self._show_events(seen)
            if found is not None and found.container:
                self._show_log(found)
        except (Refused, Unavailable) as error:
            self._say(f"Its events and log cannot be read: {error}.")

    def _show_events(self, seen: Seen) -> None:
        events = self._events(seen.workload.uid)
        if seen.trouble is not None and seen.trouble.pod:
            events += self._events_of(f"involvedObject.name={seen.trouble.pod}")
        for event in events[-_EVENTS:]:
            self._say(f"  event  {trouble.described(event)}")

    def _show_log(self, found: Trouble) -> None:
        query = {"container": found.container, "tailLines": str(_LINES), "limitBytes": "65536"}
        if found.restarted:
            query["previous"] = "true"
        where = f"{found.pod}, container {found.container}"
        try:
            log = path("api/v1", self._release.namespace, "pods", found.pod) + "/log"
            printed = self._api.data(log, **query).decode("utf-8", "replace")
        except Refused:
            return  # a container that never started has none
        self.log = [self._mask(line) for line in printed.splitlines()[-_LINES:]]
        self._say(f"The last lines of pod {where}:" if self.log else f"Pod {where} printed nothing.")
        for line in self.log:
            self._say(f"  | {line}")

    # --- requests -----------------------------------------------------------------------------------------------

    def _look(self) -> list[Workload]:
        try:
            return [found for kind in KINDS for found in self._list(kind)]
        except Refused as error:
            if not self._blind:
                self._say(f"The progress of workloads is not shown: {error}. docs/deploy.md has the Role for it.")
            self._blind = True
        except Unavailable:
            pass  # helm will say so, if it lasts
        return []

    def _list(self, kind: str) -> list[Workload]:
        things = self._api.items(path(GROUPS[kind], self._release.namespace, kind))
        found = [Workload(kind, thing) for thing in things]
        return [
            one for one in found if one.belongs_to(self._release.name) or (kind == "jobs" and one.name in self._jobs)
        ]

    def _trouble(self, found: Workload) -> Trouble | None:
        own = found.trouble()
        try:
            if own is not None:
                return own
            pods = [trouble.of_pod(pod) for pod in self._pods(found)]
            known = [one for one in pods if one is not None]
            if known:
                return min(known, key=lambda one: (one.certain is not True, one.certain is None, one.pod))
            refused = [trouble.of_event(event) for event in self._events(found.uid)]
            return next((one for one in reversed(refused) if one is not None), None)
        except (Refused, Unavailable):
            return None

    def _pods(self, found: Workload) -> list[dict[str, Any]]:
        if not found.selector:
            return []
        namespace = self._release.namespace
        pods = self._api.items(path("api/v1", namespace, "pods"), labelSelector=found.selector)
        sets: list[dict[str, Any]] = []
        if found.kind == "deployments":
            sets = self._api.items(path("apis/apps/v1", namespace, "replicasets"), labelSelector=found.selector)
        return newest(found, pods, sets)

    def _events(self, uid: str) -> list[dict[str, Any]]:
        return self._events_of(f"involvedObject.uid={uid}")

    def _events_of(self, selector: str) -> list[dict[str, Any]]:
        """Warnings, the last one last."""
        found = self._api.items(
            path("api/v1", self._release.namespace, "events"), fieldSelector=f"{selector},type=Warning"
        )
        return sorted(found, key=lambda event: (text(event, "lastTimestamp"), number(event, "count")))
