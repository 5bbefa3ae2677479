"""The diagnosis of a workload from answers that no test can make a cluster give in time."""

from __future__ import annotations

from lineal.deploy.watch.workload import Workload
from tests.unit.deploy.watch.canned import Canned, crashing, observer, pod, refusal, thing


def test_a_refusal_of_before_and_one_that_is_over_are_none() -> None:
    db = thing("db", {"replicas": 2})
    api = Canned(statefulsets=[db], events=[refusal("old")])
    seen = observer(api)
    assert seen.diagnose(Workload("statefulsets", db)) is None
    api.lists["events"].append(refusal("new"))
    found = seen.diagnose(Workload("statefulsets", db))
    assert str(found) == "FailedCreate: exceeded quota: q, user ***", "and no secret is in it"
    # Both pods were made after all.
    api.lists["pods"] = [pod("db-0", "db"), pod("db-1", "db")]
    assert seen.diagnose(Workload("statefulsets", db)) is None


def test_a_pod_of_another_version_that_is_in_the_way_is_named() -> None:
    """A StatefulSet's pods are replaced in order, each once the one before is ready."""
    db = thing("db", {"replicas": 1}, {"observedGeneration": 1, "updateRevision": "db-2"})
    old = crashing("db-0", "db", 9)
    old["metadata"]["labels"] = {"controller-revision-hash": "db-1"}
    found = observer(Canned(pods=[old])).diagnose(Workload("statefulsets", db))
    assert found is not None and found.certain is None and "until it is deleted" in str(found)
    assert str(found).startswith("pod db-0: OldPod: it is still of another version (CrashLoopBackOff)")
    old["metadata"]["labels"] = {"controller-revision-hash": "db-2"}
    found = observer(Canned(pods=[old])).diagnose(Workload("statefulsets", db))
    assert found is not None and found.reason == "CrashLoopBackOff"


def test_a_job_decides_itself_how_often_it_is_tried() -> None:
    migrate = thing("migrate", {})
    api = Canned(jobs=[migrate], pods=[crashing("migrate-x", "migrate", 9)])
    for hooks in ((), ("migrate",)):
        found = observer(api, *hooks).diagnose(Workload("jobs", migrate))
        assert found is not None and found.certain is None
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    migrate["status"] = {"conditions": [failed]}
    ended = {"name": "app", "restartCount": 0, "state": {"terminated": {"exitCode": 1}}}
    api.lists["pods"] = [pod("migrate-x", "migrate", containerStatuses=[ended])]
    hook = observer(api, "migrate").diagnose(Workload("jobs", migrate))
    assert hook is not None and hook.certain
    assert (hook.reason, hook.container, hook.pod) == ("BackoffLimitExceeded", "app", "migrate-x")
    plain = observer(api).diagnose(Workload("jobs", migrate))
    assert plain is not None and plain.certain, "one that is no hook has failed all the same"
