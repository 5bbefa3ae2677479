"""What a Deployment, a StatefulSet, a DaemonSet or a Job has come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineal.deploy.fields import at, entries, mapping, number, text
from lineal.deploy.trouble import Trouble

KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "jobs": "Job"}
GROUPS = {"deployments": "apis/apps/v1", "statefulsets": "apis/apps/v1", "daemonsets": "apis/apps/v1",
          "jobs": "apis/batch/v1"}  # fmt: skip
_RELEASE = "meta.helm.sh/release-name"
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "controller-revision-hash"
_TEMPLATE = "deprecated.daemonset.template.generation"


@dataclass(frozen=True, slots=True)
class Workload:
    kind: str
    """In the plural, as in an address."""
    thing: dict[str, Any]

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} {self.name}"

    @property
    def name(self) -> str:
        return text(self.thing, "metadata", "name")

    @property
    def uid(self) -> str:
        return text(self.thing, "metadata", "uid")

    @property
    def version(self) -> tuple[str, str]:
        """Changes when somebody wants something else of it. Its generation would not do: that of a Deployment also
        counts the annotation that its controller writes."""
        return self.uid, json.dumps(at(self.thing, "spec"), sort_keys=True)

    def belongs_to(self, release: str) -> bool:
        return bool(at(self.thing, "metadata", "annotations", _RELEASE) == release)

    @property
    def current(self) -> bool:
        """Whether its status is about what is wanted now."""
        if self.kind == "jobs":
            return True
        return number(self.thing, "status", "observedGeneration") >= number(self.thing, "metadata", "generation")

    @property
    def wanted(self) -> int:
        if self.kind == "daemonsets":
            return number(self.thing, "status", "desiredNumberScheduled")
        said = at(self.thing, "spec", "completions" if self.kind == "jobs" else "replicas")
        return said if isinstance(said, int) else 1

    @property
    def ready(self) -> int:
        """Only new ones: during an update, pods of before are ready too."""
        status = mapping(self.thing, "status")
        if self.kind == "jobs":
            return number(status, "succeeded")
        have = number(status, "numberReady" if self.kind == "daemonsets" else "readyReplicas")
        new = number(status, "updatedNumberScheduled" if self.kind == "daemonsets" else "updatedReplicas")
        return min(have, new) if self.current else 0

    @property
    def done(self) -> bool:
        return self.current and self.ready >= self.wanted

    @property
    def selector(self) -> str:
        """Of its pods, empty when it has none that we understand."""
        labels = mapping(self.thing, "spec", "selector", "matchLabels")
        return ",".join(f"{key}={value}" for key, value in labels.items())

    def trouble(self) -> Trouble | None:
        """What its own status says."""
        for condition in entries(self.thing, "status", "conditions"):
            kind, holds = condition.get("type"), condition.get("status")
            if kind == "ReplicaFailure" and holds == "True":
                return Trouble("FailedCreate", text(condition, "message"), certain=False)
            if kind == "Progressing" and holds == "False":
                return Trouble(text(condition, "reason"), text(condition, "message"), certain=True)
        return None


def newest(
    workload: Workload, pods: Sequence[dict[str, Any]], sets: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The pods of what is wanted now, not those of before. `sets` are the ReplicaSets beside them."""
    if workload.kind == "deployments":
        revision = at(workload.thing, "metadata", "annotations", _REVISION)
        owners = [
            text(one, "metadata", "uid")
            for one in sets
            if _owned(one, workload.uid) and at(one, "metadata", "annotations", _REVISION) == revision
        ]
        return [pod for pod in pods if any(_owned(pod, owner) for owner in owners)]
    mine = [pod for pod in pods if _owned(pod, workload.uid)]
    if workload.kind == "statefulsets":
        wanted = at(workload.thing, "status", "updateRevision")
        return [pod for pod in mine if at(pod, "metadata", "labels", _HASH) == wanted]
    if workload.kind == "daemonsets":
        wanted = at(workload.thing, "metadata", "annotations", _TEMPLATE)
        return [pod for pod in mine if at(pod, "metadata", "labels", "pod-template-generation") in (wanted, None)]
    return mine


def _owned(thing: Any, uid: str) -> bool:
    return bool(uid) and any(owner.get("uid") == uid for owner in entries(thing, "metadata", "ownerReferences"))
