"""An API server whose answers a test writes down, for states that no test can bring a real cluster into in time."""

from __future__ import annotations

from typing import Any

from lineal.config.secrets import Mask
from lineal.deploy.release import Chart, Release
from lineal.deploy.watch.observer import WorkloadObserver

RELEASE = Release(name="shop", namespace="ns", chart=Chart("", ""))
OWNER = {"meta.helm.sh/release-name": "shop"}


class Canned:
    """Stands for a `KubeClient`: lists by the last part of their path."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self.lists = lists
        self.log = b""
        self.failing: list[Exception] = []

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        if self.failing:
            raise self.failing.pop(0)
        return list(self.lists.get(path.rpartition("/")[2], []))

    def data(self, path: str, **query: str) -> bytes:
        return self.log


def thing(name: str, spec: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    about = {"name": name, "uid": name, "generation": 1, "annotations": OWNER}
    selector = {"matchLabels": {"app": name}}
    return {"metadata": about, "spec": {"selector": selector, **spec}, "status": status or {"observedGeneration": 1}}


def pod(name: str, owner: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "ownerReferences": [{"uid": owner}]}, "status": status}


def crashing(name: str, owner: str, restarts: int) -> dict[str, Any]:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    return pod(name, owner, containerStatuses=[{"name": "app", "restartCount": restarts, "state": state}])


def refusal(uid: str, message: str = "exceeded quota: q, user s3cret") -> dict[str, Any]:
    return {"metadata": {"uid": uid}, "reason": "FailedCreate", "message": message, "count": 1}


def observer(api: Canned, *jobs: str) -> WorkloadObserver:
    """Of the release; `s3cret` is a secret."""
    return WorkloadObserver(api, RELEASE, Mask(["s3cret"]).mask, jobs)  # type: ignore[arg-type]
