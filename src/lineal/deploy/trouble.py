"""Why a workload does not become ready, and whether waiting can still help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lineal.deploy.fields import entries, number, text
from lineal.deploy.reasons import sentence

RESTARTS = 3
"""A container that crashed so often is not waiting for its neighbours."""
_FINAL = ("InvalidImageName", "ErrImageNeverPull")
_PULL = ("ErrImagePull", "ImagePullBackOff", *_FINAL)
_CREATE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NO_IMAGE = re.compile(
    r"not found|manifest unknown|denied|unauthorized|authentication required|no match for platform|403 Forbidden",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Trouble:
    reason: str
    message: str
    certain: bool | None
    """True: waiting does not help. False: it hardly does when this lasts. None: it may be over in a moment."""
    pod: str = ""
    container: str = ""
    restarted: bool = False
    """Whether the container's log is that of the run before."""

    def __str__(self) -> str:
        where = f"pod {self.pod}: " if self.pod else ""
        return where + (f"{self.reason}: {self.message.rstrip('. ')}" if self.message else self.reason)

    @property
    def remedy(self) -> str:
        if self.reason in _PULL:
            return "Check that the image exists, and that the cluster may pull it (`imagePullSecrets`)."
        if self.reason == "CrashLoopBackOff":
            return "Correct what it printed last (above)."
        if self.reason in _CREATE:
            return "Correct the config maps and secrets that the pod names, or its command."
        if "exceeded quota" in self.message:
            return "Raise the quota of the namespace, or ask for less."
        if self.reason == "FailedCreate":
            return "Correct in the chart what the cluster refuses, or ask those who set that rule."
        return "See what is said above about its pods."


def of_pod(pod: dict[str, Any]) -> Trouble | None:
    """The first container that cannot start; else why the pod has no node."""
    name = text(pod, "metadata", "name")
    containers = [*entries(pod, "status", "initContainerStatuses"), *entries(pod, "status", "containerStatuses")]
    for status in containers:
        reason, message = text(status, "state", "waiting", "reason"), text(status, "state", "waiting", "message")
        if not reason or reason in ("ContainerCreating", "PodInitializing"):
            continue
        restarts = number(status, "restartCount")
        certain = _certainty(reason, message, restarts)
        if reason == "CrashLoopBackOff":
            code = number(status, "lastState", "terminated", "exitCode")
            message = f"its container {text(status, 'name')} ended with {code}, restarted {restarts} times"
        return Trouble(reason, message, certain, name, text(status, "name"), restarts > 0)
    for condition in entries(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Trouble(text(condition, "reason") or "Unscheduled", text(condition, "message"), None, name)
    return _not_ready(name, containers)


def _not_ready(name: str, containers: list[dict[str, Any]]) -> Trouble | None:
    for status in containers:
        running = isinstance(status.get("state"), dict) and "running" in status["state"]
        if running and status.get("ready") is False:
            container = text(status, "name")
            return Trouble("NotReady", f"its container {container} runs and is not ready", None, name, container)
    return None


def _certainty(reason: str, message: str, restarts: int) -> bool | None:
    if reason in _PULL:
        return reason in _FINAL or _NO_IMAGE.search(message) is not None
    if reason == "CrashLoopBackOff":
        return True if restarts >= RESTARTS else None
    return False if reason in _CREATE else None


def of_event(event: dict[str, Any]) -> Trouble | None:
    """Of a StatefulSet, DaemonSet or Job: their status does not tell that a pod was refused."""
    if event.get("reason") != "FailedCreate":
        return None
    return Trouble("FailedCreate", text(event, "message"), certain=False)


def described(event: dict[str, Any]) -> str:
    return f"{text(event, 'reason')}: {sentence(text(event, 'message'))}"
