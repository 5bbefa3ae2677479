"""The verdict on workloads, from answers that no test can make a cluster give in time."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from lineal.deploy.watch.monitor import Monitor, Others, PollPolicy
from lineal.deploy.watch.observer import WorkloadObserver
from lineal.kube.client import KubeRefused
from lineal.kube.login import KubeUnavailable
from tests.unit.deploy.watch.canned import RELEASE, Canned, crashing, observer, pod, thing


def monitoring(api: Canned, jobs: float = 0.0) -> tuple[Monitor, list[str]]:
    lines: list[str] = []
    return Monitor(observer(api), lines.append, PollPolicy(0.01, 0.0, jobs)), lines


def test_a_crash_loop_waits_for_the_other_workloads() -> None:
    api = Canned()
    monitor, _ = monitoring(api)
    ready = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    app, db = thing("app", {"replicas": 1}), thing("db", {"replicas": 1})
    api.lists = {"statefulsets": [app, db], "pods": [crashing("app-0", "app", 3)]}
    monitor.poll()
    assert monitor.verdict is None, "the database is not ready"
    db["status"] = ready
    monitor.poll()
    assert monitor.verdict is not None and monitor.verdict[0].name == "app"


def test_a_crash_loop_that_lasts_is_given_up_all_the_same() -> None:
    api = Canned()
    monitor, lines = monitoring(api)
    api.log = b"user s3cret\n\x1b[2Jpanic"
    api.lists = {"statefulsets": [thing("app", {}), thing("db", {})], "pods": [crashing("app-0", "app", 6)]}
    monitor.poll()
    assert monitor.verdict is not None
    assert "  | user ***" in lines


@pytest.mark.parametrize("failure", [KubeRefused(429, "slow down"), KubeRefused(500, ""), KubeUnavailable("away")])
def test_one_answer_that_fails_does_not_end_the_watch(failure: Exception) -> None:
    api = Canned()
    monitor, lines = monitoring(api)
    api.lists = {"statefulsets": [thing("app", {})]}
    api.failing = [failure]
    monitor.poll()
    assert lines == []
    monitor.poll()
    assert lines == ["StatefulSet app: 0 of 1 ready"]


def test_what_was_there_must_be_known() -> None:
    """Otherwise this deploy would be judged by what was broken before."""
    api = Canned(statefulsets=[thing("app", {})], pods=[crashing("app-0", "app", 9)])
    api.failing = [KubeRefused(403, "events"), KubeRefused(403, "no list")]
    monitor, lines = monitoring(api)
    with monitor:
        pass
    assert monitor.verdict is None
    (line,) = lines
    assert line.startswith("The progress of workloads is not shown: no list (status 403).")
    assert "docs/deploy.md" in line


def test_what_an_autoscaler_changed_may_become_ready() -> None:
    api = Canned()
    monitor, _ = monitoring(api)
    app = thing("app", {"replicas": 1})
    api.lists = {"statefulsets": [app]}
    monitor.poll()
    app["spec"]["replicas"] = 2
    app["status"] = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
    monitor.poll()
    assert monitor.unready() == []


def stuck(name: str, owner: str, reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(name, owner, containerStatuses=[{"name": "app", "restartCount": 0, "state": state}])


def test_helm_is_told_to_give_up_once_there_is_a_verdict() -> None:
    api = Canned()
    monitor, lines = monitoring(api)
    api.lists = {"statefulsets": [thing("app", {})], "pods": [stuck("app-0", "app", "InvalidImageName", "s3cret:1")]}
    assert monitor.stop() is None
    monitor.poll()
    assert monitor.stop() is signal.SIGTERM
    assert lines[1] == "StatefulSet app does not become ready: pod app-0: InvalidImageName: ***:1."


def test_a_trouble_that_may_pass_gets_its_time() -> None:
    for patience, given_up in ((3600.0, False), (0.0, True)):
        api = Canned()
        monitor = Monitor(observer(api), lambda _: None, PollPolicy(0.01, patience))
        pods = [stuck("app-0", "app", "CreateContainerConfigError")]
        api.lists = {"statefulsets": [thing("app", {})], "pods": pods}
        monitor.poll()
        assert (monitor.verdict is not None) is given_up


def test_a_workload_that_was_broken_before_is_not_this_deploy_s() -> None:
    api = Canned(statefulsets=[thing("app", {})], pods=[stuck("app-0", "app", "InvalidImageName")])
    monitor, lines = monitoring(api)
    monitor.poll()
    assert monitor.verdict is None and monitor.unready() == []
    assert lines == ["StatefulSet app: 0 of 1 ready, pod app-0: InvalidImageName"], "and it is shown"


READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}


def settled(monitor: Monitor, seconds: float = 0.0) -> bool:
    return monitor.settled(seconds, lambda: True)


def test_what_helm_takes_for_ready_is_waited_for() -> None:
    api = Canned()
    monitor, _ = monitoring(api)
    app = thing("app", {"replicas": 1})
    api.lists = {"deployments": [app]}
    assert not settled(monitor)
    assert not monitor.settled(3600.0, lambda: False), "the run was stopped"
    app["status"] = READY
    assert settled(monitor)
    app["status"] = {}
    assert not settled(monitor), "it is not ready any more"


def test_what_this_deploy_did_not_change_is_not_waited_for() -> None:
    api = Canned(deployments=[thing("app", {"replicas": 1})])
    assert settled(monitoring(api)[0])


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("deployments", {"replicas": 1, "paused": True}),
        ("statefulsets", {"replicas": 1, "updateStrategy": {"type": "OnDelete"}}),
        ("daemonsets", {"updateStrategy": {"type": "OnDelete"}}),
        ("deployments", {"replicas": 0}),
        ("jobs", {"suspend": True}),
        ("jobs", {}),
    ],
)
def test_what_helm_would_wait_for_in_vain_is_not_waited_for(kind: str, spec: dict[str, Any]) -> None:
    api = Canned()
    monitor, _ = monitoring(api)
    api.lists = {kind: [thing("app", spec, {"observedGeneration": 1, "desiredNumberScheduled": 1})]}
    assert settled(monitor)
    assert [str(seen) for seen in monitor.still_running()] == (
        ["Job app: 0 of 1 ready"] if kind == "jobs" and not spec else []
    )


def test_a_job_gets_a_while_in_which_it_may_fail() -> None:
    api = Canned()
    monitor, _ = monitoring(api, jobs=3600.0)
    api.lists = {"jobs": [thing("seed", {})]}
    assert not monitor.settled(60.0, lambda: len(api.lists["jobs"]) == 0)
    api.lists = {"jobs": [failed_job("seed")]}
    assert not settled(monitor, 3600.0) and monitor.verdict is not None


def test_what_a_deploy_is_to_repair_is_waited_for_though_it_did_not_change_it() -> None:
    """A run that was killed while it waited leaves what helm calls deployed."""
    api = Canned(deployments=[thing("app", {"replicas": 1}), thing("db", {"replicas": 1}, READY)])
    monitor = Monitor(observer(api), lambda _: None, PollPolicy(0.01, 0.0), repairs=True)
    assert not settled(monitor)
    assert [str(seen) for seen in monitor.unready()] == ["Deployment app: 0 of 1 ready"]


def test_what_waits_for_somebody_is_told() -> None:
    before = thing("vault", {"replicas": 1, "image": "old"}, READY)
    api = Canned(statefulsets=[before], deployments=[thing("old", {"paused": True})])
    monitor, _ = monitoring(api)
    vault = thing("vault", {"replicas": 1, "image": "new", "updateStrategy": {"type": "OnDelete"}}, READY)
    api.lists = {"statefulsets": [vault], "deployments": [thing("old", {"paused": True})]}
    assert settled(monitor)
    assert [f"{one.workload}: {one.workload.left_alone}" for one in monitor.left_alone()] == [
        "StatefulSet vault: its pods change when somebody deletes them (OnDelete)"
    ]


def by_hand(api: Canned, status: dict[str, Any], *pods: dict[str, Any], jobs: float = 3600.0) -> Monitor:
    """A vault that is there since this deploy, and is updated by hand."""
    monitor, _ = monitoring(api, jobs)
    vault = thing("vault", {"replicas": 1, "updateStrategy": {"type": "OnDelete"}}, status)
    api.lists = {"statefulsets": [vault], "pods": list(pods)}
    return monitor


def test_the_first_pods_of_what_is_updated_by_hand_may_fail() -> None:
    monitor = by_hand(Canned(), {}, crashing("vault-0", "vault", 3))
    assert not settled(monitor, 3600.0) and monitor.verdict is not None


def test_the_first_pods_of_what_is_updated_by_hand_may_wait_for_somebody() -> None:
    assert not by_hand(Canned(), {}).settled(60.0, lambda: False), "they have some time for it"
    monitor = by_hand(Canned(), {}, jobs=0.0)
    assert settled(monitor)
    assert [f"{one}" for one in monitor.left_alone()] == ["StatefulSet vault: 0 of 1 ready"]
    assert settled(by_hand(Canned(), READY), 3600.0)


def test_a_hook_that_is_suspended_is_waited_for() -> None:
    api = Canned()
    monitor = Monitor(observer(api, "migrate"), lambda _: None, PollPolicy(0.01, 0.0))
    api.lists = {"jobs": [thing("migrate", {"suspend": True})]}
    monitor.poll()
    (seen,) = monitor.unready()
    assert str(seen) == "Job migrate: 0 of 1 ready, Suspended: nobody has resumed it"


def test_what_a_deploy_waits_for_beside_workloads() -> None:
    late = ["Pod web is not ready (Pending)"]
    for awaited in (True, False):
        monitor = Monitor(observer(Canned()), lambda _: None, PollPolicy(0.01), (), Others(lambda: late, awaited))
        assert settled(monitor) is not awaited
        monitor.give_up()
        assert monitor.unmet == late


def test_what_may_not_be_seen_is_not_missing() -> None:
    class Forbidding(Canned):
        def items(self, path: str, **query: str) -> list[dict[str, Any]]:
            if "/agents/" in path:
                raise KubeRefused(403, "no")
            return super().items(path, **query)

    watching = WorkloadObserver(Forbidding(), RELEASE, str, (), ["agents"])  # type: ignore[arg-type]
    monitor = Monitor(watching, lambda _: None, PollPolicy(0.01, 0.0), ["DaemonSet a in namespace agents"])
    assert settled(monitor)
    monitor = Monitor(observer(Canned()), lambda _: None, PollPolicy(0.01, 0.0), ["DaemonSet a in namespace agents"])
    assert not settled(monitor)


def test_what_is_not_there_is_not_ready() -> None:
    api = Canned()
    monitor = Monitor(observer(api), lambda _: None, PollPolicy(0.01, 0.0), ["Deployment app"])
    assert not settled(monitor) and monitor.missing == ["Deployment app"]
    api.lists = {"deployments": [thing("app", {"replicas": 1}, READY)]}
    assert settled(monitor)


def test_what_somebody_changes_meanwhile_is_still_what_is_waited_for() -> None:
    """A controller of others, `kubectl rollout restart`."""
    api = Canned()
    monitor, _ = monitoring(api)
    api.lists = {"deployments": [thing("app", {"image": "new"})]}
    assert not settled(monitor)
    api.lists = {"deployments": [thing("app", {"image": "new", "template": "restarted"}, READY)]}
    assert settled(monitor)


def test_a_cluster_that_does_not_answer_has_nothing_ready() -> None:
    api = Canned()
    monitor, _ = monitoring(api)
    api.failing = [KubeUnavailable("away")]
    assert not settled(monitor)
    api.failing = [KubeUnavailable("away")]
    assert settled(monitor, 3600.0)


def failed_job(name: str) -> dict[str, Any]:
    return thing(name, {}, {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]})


def test_a_job_that_failed_ends_a_deploy_and_one_that_failed_before_does_not() -> None:
    api = Canned(jobs=[failed_job("old")])
    monitor, _ = monitoring(api)
    assert settled(monitor)
    api.lists = {"jobs": [failed_job("old"), failed_job("new")]}
    assert not settled(monitor, 3600.0)
    assert monitor.verdict is not None and monitor.verdict[0].name == "new"


def test_a_job_that_its_ttl_deletes_had_ended() -> None:
    api = Canned()
    monitor, _ = monitoring(api)
    app = thing("app", {"replicas": 1})
    api.lists = {"jobs": [thing("seed", {})], "deployments": [app]}
    assert not settled(monitor)
    api.lists = {"deployments": [app]}
    assert not settled(monitor) and not monitor.still_running()
    app["status"] = READY
    assert settled(monitor)


def test_a_line_is_said_once() -> None:
    api = Canned()
    monitor, lines = monitoring(api)
    api.lists = {"statefulsets": [thing("app", {})]}
    for _ in range(3):
        monitor.poll()
    assert lines == ["StatefulSet app: 0 of 1 ready"]


def test_what_never_became_ready_is_told_as_it_was_before_the_rollback() -> None:
    api = Canned(statefulsets=[thing("app", {"image": "old"}), thing("db", {"image": "old"})])
    monitor, _ = monitoring(api)
    app, db = thing("app", {"image": "new"}), thing("db", {"image": "new"})
    api.lists = {"statefulsets": [db, app], "pods": [stuck("app-0", "app", "ErrImagePull", "i/o timeout")]}
    monitor.poll()
    monitor.give_up()
    api.lists = {"statefulsets": [thing("app", {"image": "old"}), thing("db", {"image": "old"})], "pods": []}
    monitor.poll()
    assert [str(seen) for seen in monitor.unready()] == [
        "StatefulSet app: 0 of 1 ready, pod app-0: ErrImagePull: i/o timeout",
        "StatefulSet db: 0 of 1 ready",
    ], "the one with a cause comes first"
