"""The state of a Deployment, a StatefulSet, a DaemonSet or a Job, as its own object tells it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineal.deploy.release import Release
from lineal.deploy.watch.diagnosis import LONGEST, Diagnosis
from lineal.kube.json_fields import at, entries, mapping, number, text
from lineal.kube.objects import titled

KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "jobs": "Job"}
GROUPS = {"deployments": "apis/apps/v1", "statefulsets": "apis/apps/v1", "daemonsets": "apis/apps/v1",
          "jobs": "apis/batch/v1"}  # fmt: skip
_RELEASE, _OF_RELEASE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "controller-revision-hash"
_GIVEN_UP = {"Progressing": "False", "Failed": "True"}
"""The conditions of a Deployment and of a Job whose controller has given up."""
_TEMPLATE = "deprecated.daemonset.template.generation"


class Version(NamedTuple):
    """Identifies the spec of a workload: equal versions ask for the same."""

    uid: str
    spec: str
    replicas: int
    """Apart from the spec, because an autoscaler changes this number too."""

    def same_but_scaled(self, other: Version) -> bool:
        return self[:2] == other[:2]


@dataclass(frozen=True, slots=True)
class Workload:
    kind: str
    """In the plural, as in the API server's paths: a key of KINDS."""
    thing: dict[str, Any]
    """The object as the API server answers it."""
    elsewhere: bool = False
    """Whether it is in another namespace than its release."""
    awaited: bool = False
    """Whether it is waited for although its controller changes no pods by itself: a hook that is suspended, and the
    first pods of what is updated by hand."""

    def __str__(self) -> str:
        return titled(KINDS[self.kind], self.name, self.namespace if self.elsewhere else "", "")

    @property
    def namespace(self) -> str:
        return text(self.thing, "metadata", "namespace")

    @property
    def name(self) -> str:
        return text(self.thing, "metadata", "name")

    @property
    def uid(self) -> str:
        return text(self.thing, "metadata", "uid")

    @property
    def version(self) -> Version:
        """Changes when somebody asks for something else. The generation would not do: that of a Deployment also
        counts the annotation that its controller writes."""
        spec = {key: value for key, value in mapping(self.thing, "spec").items() if key != "replicas"}
        return Version(self.uid, json.dumps(spec, sort_keys=True), number(self.thing, "spec", "replicas"))

    @property
    def current(self) -> bool:
        """Whether its status is about the present spec."""
        if self.kind == "jobs":
            return True
        return number(self.thing, "status", "observedGeneration") >= number(self.thing, "metadata", "generation")

    @property
    def wanted(self) -> int:
        """The number of pods that are asked for; of a Job, the number of completions."""
        if self.kind == "daemonsets":
            return number(self.thing, "status", "desiredNumberScheduled")
        said = at(self.thing, "spec", "completions" if self.kind == "jobs" else "replicas")
        return said if isinstance(said, int) else 1

    @property
    def ready(self) -> int:
        """The number of new pods that are certainly ready: during an update, pods of the previous revision are
        counted as ready too."""
        status = mapping(self.thing, "status")
        if self.kind == "jobs":
            return number(status, "succeeded")
        everywhere = self.kind == "daemonsets"
        have = number(status, "numberReady" if everywhere else "readyReplicas")
        new = number(status, "updatedNumberScheduled" if everywhere else "updatedReplicas")
        old = max(0, number(status, "currentNumberScheduled" if everywhere else "replicas") - new - self._kept)
        return max(0, have - old) if self.current else 0

    @property
    def _kept(self) -> int:
        """Pods of the previous revision that the update strategy keeps (OnDelete, partition)."""
        strategy = mapping(self.thing, "spec", "updateStrategy")
        if strategy.get("type") == "OnDelete":
            return self.wanted
        return number(strategy, "rollingUpdate", "partition")

    @property
    def full(self) -> bool:
        """Whether all its pods are ready; of a Job, whether it has succeeded, for which fewer may be enough."""
        told = [(one.get("type"), one.get("status")) for one in entries(self.thing, "status", "conditions")]
        if self.kind == "jobs" and ("Complete", "True") in told:
            return True
        return self.current and self.ready >= self.wanted

    @property
    def done(self) -> bool:
        return self.full or (bool(self.left_alone) and not self.awaited)

    @property
    def left_alone(self) -> str:
        """Why its controller changes no pods by itself, in a few words; empty when it does."""
        if at(self.thing, "spec", "paused") is True:
            return "it is paused"
        if at(self.thing, "spec", "suspend") is True:
            return "it is suspended"
        return "its pods change when somebody deletes them (OnDelete)" if self.by_hand else ""

    @property
    def by_hand(self) -> bool:
        return text(self.thing, "spec", "updateStrategy", "type") == "OnDelete"

    @property
    def gave_up(self) -> bool:
        """Whether its controller has given up."""
        found = self.diagnosis()
        return found is not None and found.certain is True

    @property
    def selector(self) -> str:
        """The label selector of its pods, empty when it has none that we understand."""
        labels = mapping(self.thing, "spec", "selector", "matchLabels")
        return ",".join(f"{key}={value}" for key, value in labels.items())

    def diagnosis(self) -> Diagnosis | None:
        """The trouble that its own status tells."""
        if self.awaited and at(self.thing, "spec", "suspend") is True:
            return Diagnosis("Suspended", "nobody has resumed it", certain=None)
        for condition in entries(self.thing, "status", "conditions"):
            kind, holds = str(condition.get("type")), condition.get("status")
            if kind == "ReplicaFailure" and holds == "True":
                return Diagnosis("FailedCreate", text(condition, "message", longest=LONGEST), certain=False)
            if _GIVEN_UP.get(kind) == holds:
                return Diagnosis(text(condition, "reason"), text(condition, "message"), certain=True)
        return None


def made_for(thing: Any, release: Release) -> bool:
    """Whether helm made the object for the release; not for one of its name in another namespace, which may have
    objects here too."""
    said = mapping(thing, "metadata", "annotations")
    return bool(said.get(_RELEASE) == release.name and said.get(_OF_RELEASE) in (None, release.namespace))


def newest(
    workload: Workload, pods: Sequence[dict[str, Any]], sets: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The pods of the present revision, not those of earlier ones. `sets` are the ReplicaSets with the same
    labels."""
    if workload.kind == "deployments":
        revision = at(workload.thing, "metadata", "annotations", _REVISION)
        owners = [
            text(one, "metadata", "uid")
            for one in sets
            if owned(one, workload.uid) and at(one, "metadata", "annotations", _REVISION) == revision
        ]
        return [pod for pod in pods if any(owned(pod, owner) for owner in owners)]
    mine = [pod for pod in pods if owned(pod, workload.uid)]
    if workload.kind == "statefulsets":
        wanted = at(workload.thing, "status", "updateRevision")
        return [pod for pod in mine if at(pod, "metadata", "labels", _HASH) == wanted]
    if workload.kind == "daemonsets":
        wanted = at(workload.thing, "metadata", "annotations", _TEMPLATE)
        return [pod for pod in mine if at(pod, "metadata", "labels", "pod-template-generation") in (wanted, None)]
    return mine


def owned(thing: Any, uid: str) -> bool:
    return bool(uid) and any(owner.get("uid") == uid for owner in entries(thing, "metadata", "ownerReferences"))
