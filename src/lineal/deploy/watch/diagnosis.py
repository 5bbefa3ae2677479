"""The reason why a workload does not become ready, and whether waiting can still help."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from lineal.deploy.helm.errors import sentence
from lineal.kube.json_fields import entries, number, text

LONGEST = 4000
"""Characters of a message that are read. That of containerd about an image by digest has some 600, the reason
last."""
_SHOWN = 300
"""Characters of a message that are shown."""
RESTARTS = 3
"""A container that crashed so often does not wait for the other workloads, once these are ready."""
_TERMINAL_RESTARTS = 6
"""A container that crashed so often, in some five minutes, does not wait for the other workloads at all."""
_FINAL = ("InvalidImageName", "ErrImageNeverPull")
_PULL = ("ErrImagePull", "ImagePullBackOff", *_FINAL)
_CREATE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NO_IMAGE = re.compile(r"not found|manifest unknown|no match for platform", re.IGNORECASE)
_PASSING = re.compile(
    r"\b429\b|too ?many ?requests|time(d )?out|\b50[0234]\b|connection re(fused|set)|no such host|temporary failure|"
    r"unexpected EOF|TLS handshake",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A reason why a workload is not ready."""

    reason: str
    """In one word, as Kubernetes says it: `ImagePullBackOff`."""
    message: str
    certain: bool | None
    """True: waiting does not help. False: waiting hardly helps when this lasts. None: it may pass in a moment."""
    pod: str = ""
    container: str = ""
    restarts: int = 0
    """How often the container was started again. If it was, the log of interest is that of the run before."""
    namespace: str = field(default="", compare=False)
    """That of the pod."""

    def __str__(self) -> str:
        where = f"pod {self.pod}: " if self.pod else ""
        return where + (f"{self.reason}: {shortened(self.message.rstrip('. '))}" if self.message else self.reason)

    @property
    def terminal(self) -> bool:
        """Whether waiting does not help even while other workloads of the release, which this one may wait for, are
        not ready."""
        return self.certain is True and (self.reason != "CrashLoopBackOff" or self.restarts >= _TERMINAL_RESTARTS)

    @property
    def remedy(self) -> str:
        if self.reason in _PULL:
            return "Check that the image exists, and that the cluster may pull it (`imagePullSecrets`)."
        if self.reason == "CrashLoopBackOff" or (self.container and self.reason not in _CREATE):
            return "Correct what it printed last (above)."
        if self.reason in _CREATE:
            return "Correct the config maps and secrets that the pod names, or its command."
        if "exceeded quota" in self.message:
            return "Raise the quota of the namespace, or ask for less."
        if self.reason == "FailedCreate":
            return "Correct in the chart what the cluster refuses, or ask those who set that rule."
        return "See what is said above about its pods."


def shortened(message: str) -> str:
    """The beginning and the end of a long message."""
    half = _SHOWN // 2
    return message if len(message) <= _SHOWN else f"{message[:half]} … {message[-half:]}"


def of_pod(pod: dict[str, Any]) -> Diagnosis | None:
    """Of the first container that cannot start; else of a pod that has no node, or is not ready.

    None for a pod that is fine, or is being deleted."""
    found = _of_pod(pod)
    return None if found is None else replace(found, namespace=text(pod, "metadata", "namespace"))


def _of_pod(pod: dict[str, Any]) -> Diagnosis | None:
    if text(pod, "metadata", "deletionTimestamp"):
        return None
    name = text(pod, "metadata", "name")
    containers = [*entries(pod, "status", "initContainerStatuses"), *entries(pod, "status", "containerStatuses")]
    for status in containers:
        found = _of_container(name, status)
        if found is not None:
            return found
    for condition in entries(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Diagnosis(text(condition, "reason") or "Unscheduled", text(condition, "message"), None, name)
    return _not_ready(name, containers)


def of_old_pods(pods: Iterable[dict[str, Any]]) -> Diagnosis | None:
    """Of a StatefulSet's pods of another version: while one is not ready, Kubernetes replaces none in order."""
    for pod in pods:
        found = of_pod(pod)
        if found is not None and found.container:
            said = f"it is still of another version ({found.reason}), and may stay so until it is deleted"
            return Diagnosis("OldPod", said, None, found.pod)
    return None


def _of_container(pod: str, status: dict[str, Any]) -> Diagnosis | None:
    name, restarts = text(status, "name"), number(status, "restartCount")
    code = number(status, "state", "terminated", "exitCode")
    if code:
        return Diagnosis("Failed", f"its container {name} ended with {code}", None, pod, name)
    reason = text(status, "state", "waiting", "reason")
    if not reason or reason in ("ContainerCreating", "PodInitializing"):
        return None
    message = text(status, "state", "waiting", "message", longest=LONGEST)
    certain = _certainty(reason, message, text(status, "image"), restarts)
    if reason == "CrashLoopBackOff":
        code = number(status, "lastState", "terminated", "exitCode")
        message = f"its container {name} ended with {code}, restarted {restarts} times"
    return Diagnosis(reason, message, certain, pod, name, restarts)


def _not_ready(name: str, containers: list[dict[str, Any]]) -> Diagnosis | None:
    for status in containers:
        running = isinstance(status.get("state"), dict) and "running" in status["state"]
        if running and status.get("ready") is False:
            container = text(status, "name")
            return Diagnosis("NotReady", f"its container {container} runs and is not ready", None, name, container)
    return None


def _certainty(reason: str, message: str, image: str, restarts: int) -> bool | None:
    if reason in _FINAL:
        return True
    if reason in _PULL:
        # The name of the image is no reason, whatever words are in it.
        said = re.sub(r'"[^"]*"', "", message).replace(image, "") if image else re.sub(r'"[^"]*"', "", message)
        return True if _NO_IMAGE.search(said) else None if _PASSING.search(said) else False
    if reason == "CrashLoopBackOff":
        return True if restarts >= RESTARTS else None
    return False if reason in _CREATE else None


def of_event(event: dict[str, Any]) -> Diagnosis | None:
    """Of a warning about a StatefulSet, DaemonSet or Job, whose status does not tell that a pod was refused."""
    if event.get("reason") != "FailedCreate":
        return None
    return Diagnosis("FailedCreate", text(event, "message", longest=LONGEST), certain=False)


def event_line(event: dict[str, Any]) -> str:
    """An event for people: its reason and message."""
    return f"{text(event, 'reason')}: {sentence(shortened(text(event, 'message', longest=LONGEST)))}"
