"""What is believed of a cluster's answers: here are those that no test can make a cluster give in time."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.config.secrets import Mask
from lineal.deploy.release import Chart, Release
from lineal.deploy.watch.monitor import Monitor, PollPolicy
from lineal.deploy.watch.observer import WorkloadObserver
from lineal.deploy.watch.workload import Workload
from lineal.kube.client import KubeRefused
from lineal.kube.login import KubeUnavailable

RELEASE = Release(name="shop", namespace="ns", chart=Chart("", ""))
OWNER = {"meta.helm.sh/release-name": "shop"}


class Canned:
    """Stands for an `Api`: lists by the last part of their address."""

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


def surveyed(api: Canned, *jobs: str) -> WorkloadObserver:
    return WorkloadObserver(api, RELEASE, Mask(["s3cret"]).mask, jobs)  # type: ignore[arg-type]


def test_a_refusal_of_before_and_one_that_is_over_are_none() -> None:
    db = thing("db", {"replicas": 2})
    api = Canned(statefulsets=[db], events=[refusal("old")])
    survey = surveyed(api)
    assert survey.trouble(Workload("statefulsets", db)) is None
    api.lists["events"].append(refusal("new"))
    found = survey.trouble(Workload("statefulsets", db))
    assert str(found) == "FailedCreate: exceeded quota: q, user ***", "and no secret is in it"
    # Both pods were made after all.
    api.lists["pods"] = [pod("db-0", "db"), pod("db-1", "db")]
    assert survey.trouble(Workload("statefulsets", db)) is None


def test_a_job_decides_itself_how_often_it_is_tried() -> None:
    migrate = thing("migrate", {})
    api = Canned(jobs=[migrate], pods=[crashing("migrate-x", "migrate", 9)])
    for hooks in ((), ("migrate",)):
        found = surveyed(api, *hooks).trouble(Workload("jobs", migrate))
        assert found is not None and found.certain is None
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    migrate["status"] = {"conditions": [failed]}
    ended = {"name": "app", "restartCount": 0, "state": {"terminated": {"exitCode": 1}}}
    api.lists["pods"] = [pod("migrate-x", "migrate", containerStatuses=[ended])]
    hook = surveyed(api, "migrate").trouble(Workload("jobs", migrate))
    assert hook is not None and hook.certain
    assert (hook.reason, hook.container, hook.pod) == ("BackoffLimitExceeded", "app", "migrate-x")
    # Helm does not wait for a Job that is no hook.
    plain = surveyed(api).trouble(Workload("jobs", migrate))
    assert plain is not None and plain.certain is None


def watching(api: Canned) -> tuple[Monitor, list[str]]:
    lines: list[str] = []
    return Monitor(surveyed(api), 60.0, lines.append, PollPolicy(0.01, 0.0)), lines


def test_a_crash_loop_waits_for_the_other_workloads() -> None:
    api = Canned()
    watch, _ = watching(api)
    ready = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    app, db = thing("app", {"replicas": 1}), thing("db", {"replicas": 1})
    api.lists = {"statefulsets": [app, db], "pods": [crashing("app-0", "app", 3)]}
    watch._round()
    assert watch.verdict is None, "the database is not ready"
    db["status"] = ready
    watch._round()
    assert watch.verdict is not None and watch.verdict[0].name == "app"


def test_a_crash_loop_that_lasts_is_given_up_all_the_same() -> None:
    api = Canned()
    watch, lines = watching(api)
    api.log = b"user s3cret\n\x1b[2Jpanic"
    api.lists = {"statefulsets": [thing("app", {}), thing("db", {})], "pods": [crashing("app-0", "app", 6)]}
    watch._round()
    assert watch.verdict is not None
    assert "  | user ***" in lines


@pytest.mark.parametrize("failure", [KubeRefused(429, "slow down"), KubeRefused(500, ""), KubeUnavailable("away")])
def test_one_answer_that_fails_does_not_end_the_watch(failure: Exception) -> None:
    api = Canned()
    watch, lines = watching(api)
    api.lists = {"statefulsets": [thing("app", {})]}
    api.failing = [failure]
    watch._round()
    assert lines == []
    watch._round()
    assert lines == ["StatefulSet app: 0 of 1 ready"]


def test_what_was_there_must_be_known() -> None:
    """Otherwise this deploy would be judged by what was broken before."""
    api = Canned(statefulsets=[thing("app", {})], pods=[crashing("app-0", "app", 9)])
    api.failing = [KubeRefused(403, "events"), KubeRefused(403, "no list")]
    watch, lines = watching(api)
    with watch:
        pass
    assert watch.verdict is None
    (line,) = lines
    assert line.startswith("The progress of workloads is not shown: no list (status 403).")
    assert "docs/deploy.md" in line


def test_what_an_autoscaler_changed_may_become_ready() -> None:
    api = Canned()
    watch, _ = watching(api)
    app = thing("app", {"replicas": 1})
    api.lists = {"statefulsets": [app]}
    watch._round()
    app["spec"]["replicas"] = 2
    app["status"] = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    watch._round()
    assert watch.unready() == []
