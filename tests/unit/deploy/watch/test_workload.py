"""What a status says of a workload, in the shapes that Kubernetes' controllers write."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.deploy.watch.workload import Workload, made_for
from tests.unit.deploy.watch.canned import RELEASE


def made(kind: str, spec: dict[str, Any], **status: Any) -> Workload:
    metadata = {"name": "shop", "uid": "u", "generation": 2}
    return Workload(kind, {"metadata": metadata, "spec": spec, "status": {"observedGeneration": 2, **status}})


DEPLOYMENTS = [
    # A new pod beside the old one, which is ready: none of what was asked for is.
    (1, {"replicas": 2, "updatedReplicas": 1, "readyReplicas": 1}, 0),
    (1, {"replicas": 2, "updatedReplicas": 1, "readyReplicas": 2}, 1),
    (1, {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}, 1),
    # maxSurge 100 %: as many new ones as old ones, all of those ready.
    (3, {"replicas": 6, "updatedReplicas": 3, "readyReplicas": 3}, 0),
    (3, {"replicas": 6, "updatedReplicas": 3, "readyReplicas": 5}, 2),
    (3, {"replicas": 3, "updatedReplicas": 3}, 0),
    (0, {}, 0),
]


@pytest.mark.parametrize(("wanted", "status", "ready"), DEPLOYMENTS)
def test_pods_of_before_are_not_counted(wanted: int, status: dict[str, int], ready: int) -> None:
    found = made("deployments", {"replicas": wanted}, **status)
    assert (found.ready, found.done) == (ready, ready == wanted)


def test_a_status_about_an_earlier_wish_counts_for_nothing() -> None:
    found = made("deployments", {"replicas": 1}, observedGeneration=1, replicas=1, updatedReplicas=1, readyReplicas=1)
    assert (found.ready, found.done) == (0, False)


@pytest.mark.parametrize(
    ("strategy", "ready"),
    [({}, 1), ({"type": "OnDelete"}, 3), ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, 3)],
)
def test_what_an_update_leaves_as_it_is_is_wanted_so(strategy: dict[str, Any], ready: int) -> None:
    status = {"replicas": 3, "updatedReplicas": 1, "readyReplicas": 3}
    found = made("statefulsets", {"replicas": 3, "updateStrategy": strategy}, **status)
    assert (found.ready, found.done) == (ready, ready == 3)


def test_a_daemon_on_every_node() -> None:
    status = {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 1, "numberReady": 2}
    assert (made("daemonsets", {}, **status).ready, made("daemonsets", {}, **status).wanted) == (0, 3)
    assert made("daemonsets", {}, desiredNumberScheduled=0).done


def test_an_autoscaler_wants_nothing_else() -> None:
    one = made("deployments", {"replicas": 1, "template": {}}).version
    assert one.same_but_scaled(made("deployments", {"replicas": 5, "template": {}}).version)
    assert not one.same_but_scaled(made("deployments", {"replicas": 1, "template": {"x": 1}}).version)
    assert one != made("deployments", {"replicas": 5, "template": {}}).version


def test_a_job_that_has_succeeded_early() -> None:
    """Its rule of success may take fewer pods than it has."""
    spec, complete = {"completions": 3, "successPolicy": {}}, {"type": "Complete", "status": "True"}
    assert made("jobs", spec, succeeded=1, conditions=[complete]).done
    assert not made("jobs", spec, succeeded=1, conditions=[{**complete, "status": "False"}]).done


def test_a_release_of_the_same_name_elsewhere_is_another_one() -> None:
    def whose(**said: str) -> dict[str, Any]:
        return {"metadata": {"annotations": {f"meta.helm.sh/release-{key}": value for key, value in said.items()}}}

    assert made_for(whose(name="shop", namespace="ns"), RELEASE) and made_for(whose(name="shop"), RELEASE)
    assert not made_for(whose(name="shop", namespace="other"), RELEASE) and not made_for({}, RELEASE)


def test_what_its_controller_gave_up() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    found = made("deployments", {"replicas": 1}, conditions=[late]).diagnosis()
    assert found is not None and found.certain and str(found) == "ProgressDeadlineExceeded: late"
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    found = made("jobs", {}, conditions=[failed]).diagnosis()
    assert found is not None and found.certain and found.reason == "BackoffLimitExceeded"
    assert made("jobs", {}, conditions=[{**failed, "status": "False"}]).diagnosis() is None
