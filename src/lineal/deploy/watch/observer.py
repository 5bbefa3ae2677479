"""The workloads of a release as the API server has them: their state, the trouble of their pods, events and logs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lineal.deploy.release import Release
from lineal.deploy.watch import diagnosis
from lineal.deploy.watch.diagnosis import Diagnosis
from lineal.deploy.watch.workload import GROUPS, KINDS, Workload, made_for, newest, owned
from lineal.kube.client import KubeClient, KubeRefused, path
from lineal.kube.json_fields import number, text
from lineal.kube.login import KubeUnavailable

LINES = 20
"""Log lines shown of a failed container."""
_LOOP = "CrashLoopBackOff"
_EVENTS = 3
"""Warnings shown of a failed workload."""


class WorkloadObserver:
    """All methods but `diagnose` raise `KubeRefused` and `KubeUnavailable`."""

    def __init__(
        self, api: KubeClient, release: Release, mask: Callable[[str], str], jobs: Collection[str] = (),
        namespaces: Iterable[str] = (), kinds: Collection[str] = (),
    ) -> None:  # fmt: skip
        """`mask` takes secrets out of messages and logs; `jobs` are the names of the Jobs that are hooks;
        `namespaces` are those of the manifests, beside that of the release. Of the kinds of workloads only those in
        `kinds` are asked for, which the account may see where others are forbidden; all when there are none.

        Make it before helm changes anything: it reads the events that are there already, since those of an earlier
        deploy stay for an hour."""
        self._api = api
        self._kinds = [word for word, kind in KINDS.items() if not kinds or kind in kinds]
        self.hidden: set[str] = set()
        """Namespaces whose workloads the account may not see."""
        self._namespaces = list(dict.fromkeys([release.namespace, *namespaces]))
        self._release = release
        self._mask = mask
        self._jobs = jobs
        self._old = {_mark(event) for event in self._warnings("reason=FailedCreate")}

    def workloads(self) -> list[Workload]:
        """The workloads of the release, and the Jobs of its hooks."""
        return [found for kind in self._kinds for found in self._of_kind(kind)]

    def is_hook(self, found: Workload) -> bool:
        return found.kind == "jobs" and found.name in self._jobs

    def diagnose(self, found: Workload) -> Diagnosis | None:
        """The trouble of a workload, None when there is none, or when the API server does not answer."""
        own, of_pod = found.diagnosis(), self._of_pods(found)
        if own is not None and of_pod is not None:
            about = {"container": of_pod.container, "restarts": of_pod.restarts, "namespace": of_pod.namespace}
            own = replace(own, pod=of_pod.pod, **about)  # type: ignore[arg-type]
        said = own or of_pod
        if said is None:
            return None
        if found.kind == "jobs" and not found.gave_up and (not self.is_hook(found) or said.reason == _LOOP):
            # Helm waits for hooks only, and a Job decides itself how often it is tried.
            said = replace(said, certain=None)
        return replace(said, message=self._mask(said.message))

    def events(self, of: Workload, found: Diagnosis | None) -> list[str]:
        """The last warnings about a workload and about its pod."""
        warnings = self._events(f"involvedObject.uid={of.uid}")
        if found is not None and found.pod:
            warnings += self._events(f"involvedObject.name={found.pod}")
        return [self._mask(diagnosis.event_line(event)) for event in warnings[-_EVENTS:]]

    def log(self, found: Diagnosis) -> list[str] | None:
        """The last lines that the container of a diagnosis printed; those of the crashed run when it was restarted.

        None when the API server does not give the log."""
        query = {"container": found.container, "tailLines": str(LINES), "limitBytes": "65536"}
        if found.restarts:
            query["previous"] = "true"
        try:
            printed = self._api.data(path("api/v1", found.namespace, "pods", found.pod) + "/log", **query)
        except KubeRefused:
            return None
        return [self._mask(line) for line in printed.decode("utf-8", "replace").splitlines()[-LINES:]]

    def _of_kind(self, kind: str) -> list[Workload]:
        own, *others = self._namespaces
        found = [Workload(kind, thing) for thing in self._api.items(path(GROUPS[kind], own, kind))]
        for other in others:
            try:
                things = self._api.items(path(GROUPS[kind], other, kind))
            except KubeRefused:
                self.hidden.add(other)
                continue
            found += [Workload(kind, thing, elsewhere=True) for thing in things]
        hooks = self._jobs if kind == "jobs" else ()
        return [one for one in found if made_for(one.thing, self._release) or one.name in hooks]

    def _of_pods(self, found: Workload) -> Diagnosis | None:
        try:
            pods, older = self._pods(found)
        except (KubeRefused, KubeUnavailable):
            return None
        known = [one for one in map(diagnosis.of_pod, pods) if one is not None]
        if known:
            return min(known, key=lambda one: (one.certain is not True, one.certain is None, one.pod))
        if len(pods) >= found.wanted:
            return None  # refused once, and made later
        stuck = diagnosis.of_old_pods(older) if found.kind == "statefulsets" else None
        if stuck is not None:
            return stuck
        warnings = self._warnings(f"involvedObject.uid={found.uid}")
        refused = [diagnosis.of_event(event) for event in warnings if _mark(event) not in self._old]
        return next((one for one in reversed(refused) if one is not None), None)

    def _pods(self, found: Workload) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Those of the present revision, and its own of earlier ones."""
        if not found.selector:
            return [], []
        pods = self._api.items(path("api/v1", found.namespace, "pods"), labelSelector=found.selector)
        sets: list[dict[str, Any]] = []
        if found.kind == "deployments":
            where = path("apis/apps/v1", found.namespace, "replicasets")
            sets = self._api.items(where, labelSelector=found.selector)
        present = newest(found, pods, sets)
        return present, [pod for pod in pods if owned(pod, found.uid) and pod not in present]

    def _warnings(self, selector: str) -> list[dict[str, Any]]:
        """The warnings of `_events`; an empty list when the API server does not answer."""
        try:
            return self._events(selector)
        except (KubeRefused, KubeUnavailable):
            return []

    def _events(self, selector: str) -> list[dict[str, Any]]:
        """The warnings that match a field selector, the oldest first."""
        own, *others = self._namespaces
        query = {"fieldSelector": f"{selector},type=Warning"}
        found = self._api.items(path("api/v1", own, "events"), **query)
        for other in others:
            with suppress(KubeRefused):
                found += self._api.items(path("api/v1", other, "events"), **query)
        return sorted(found, key=lambda event: (text(event, "lastTimestamp"), number(event, "count")))


def _mark(event: dict[str, Any]) -> tuple[str, int]:
    """Identifies an event: one that happens again keeps its uid and gets a higher count."""
    return text(event, "metadata", "uid"), number(event, "count")
