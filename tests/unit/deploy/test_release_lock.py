"""The Lease of a release, when the API server that keeps it fails for a moment, or for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineal.deploy.release import Chart, Release
from lineal.deploy.release_lock import ReleaseLock
from lineal.errors import DeployFailed
from lineal.lock import LockTimeouts
from tests.cluster.fixtures import Cluster
from tests.unit.lock import conversation
from tests.unit.lock.test_kubernetes import config
from tests.unit.lock.worker import Told

LEASE = "lineal-release-shop"


@pytest.fixture
def held_by_another(kubernetes: Cluster, namespace: str) -> str:
    """The namespace of a release that another job deploys."""
    kubernetes.client.create("namespaces", "", {"metadata": {"name": namespace}})
    kubernetes.client.create("leases", namespace, {
        "metadata": {"name": LEASE, "annotations": {"lineal.dev/token": "t"}},
        "spec": {"holderIdentity": "other job", "leaseDurationSeconds": 60},
    })  # fmt: skip
    return namespace


@pytest.fixture
def asked() -> list[str]:
    """The looks at the Lease so far."""
    return []


Fault = Callable[[int], int | None]


@pytest.fixture
def locked(
    kubernetes: Cluster, held_by_another: str, asked: list[str], tmp_path: Path
) -> Iterator[Callable[[Fault, Told], ReleaseLock]]:
    """Makes a run's lock at a server that answers the nth look with the status that the fault gives."""
    faults: list[Fault] = []

    def fault(method: str, path: str) -> int | None:
        if method != "GET" or not path.endswith(LEASE):
            return None
        asked.append(path)
        return faults[0](len(asked))

    def make(fault: Fault, told: Told) -> ReleaseLock:
        faults.append(fault)
        release = Release(name="shop", namespace=held_by_another, chart=Chart("", ""))
        timeouts = LockTimeouts(poll=0.01, retry=0.01)
        return ReleaseLock(release, "tester", config(tmp_path / "config", address), told.by, timeouts)

    with conversation.faulty(kubernetes.kubeconfig, fault) as address:
        yield make


def test_one_failed_answer_lets_nobody_past_the_lease(
    kubernetes: Cluster, held_by_another: str, locked: Callable[[Fault, Told], ReleaseLock], asked: list[str]
) -> None:
    told = Told()

    def fault(number: int) -> int | None:
        if number == 4:
            kubernetes.client.delete("leases", held_by_another, LEASE)
        return 503 if number in (2, 3) else None

    with locked(fault, told).hold_release() as hold:
        assert hold.held and len(asked) >= 4
        (lease,) = kubernetes.client.list("leases", held_by_another)
        assert lease["spec"]["holderIdentity"] == "tester"
    assert told.warnings == []
    assert kubernetes.client.list("leases", held_by_another) == []


def test_a_server_that_stays_away_lets_nobody_past_the_lease(
    locked: Callable[[Fault, Told], ReleaseLock], held_by_another: str
) -> None:
    told = Told()
    lock = locked(lambda number: 503 if number > 1 else None, told)
    what = f"Whether another job still deploys release shop in namespace {held_by_another} cannot be asked any more"
    with pytest.raises(DeployFailed, match=f"{what}: the API server answers status 503"), lock.hold_release():
        pytest.fail("it deploys beside the other job")
    assert told.warnings == []


def test_a_server_that_never_answered_is_a_warning(
    locked: Callable[[Fault, Told], ReleaseLock], held_by_another: str
) -> None:
    told = Told()
    with locked(lambda _: 503, told).hold_release() as hold:
        assert not hold.held and not hold.lost.is_set()
    (warning,) = told.warnings
    assert warning.startswith(f"Whether another job deploys release shop in namespace {held_by_another} at the same")


def test_helm_waits_while_the_lease_cannot_be_renewed_and_goes_on_when_it_can(
    kubernetes: Cluster, held_by_another: str, tmp_path: Path
) -> None:
    """What is asked of an API server that is updated: it answers nobody, so nobody else can begin either."""
    kubernetes.client.delete("leases", held_by_another, LEASE)
    away = threading.Event()
    release = Release(name="shop", namespace=held_by_another, chart=Chart("", ""))
    timeouts = LockTimeouts(lease=1.0, away=60.0, poll=0.01, retry=0.01)
    with conversation.faulty(kubernetes.kubeconfig, lambda *_: 503 if away.is_set() else None) as address:
        environ = config(tmp_path / "config", address)
        with ReleaseLock(release, "tester", environ, Told().by, timeouts).hold_release() as hold:
            assert hold.held
            until(lambda: not hold.doubtful())
            away.set()
            until(hold.doubtful)
            assert not hold.lost.is_set()
            away.clear()
            until(lambda: not hold.doubtful())
            assert not hold.lost.is_set()
            away.set()
            until(hold.doubtful)
            kubernetes.client.delete("leases", held_by_another, LEASE)  # somebody else was quicker
            away.clear()
            assert hold.lost.wait(300)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_lease_of_a_killed_run_ends_soon(kubernetes: Cluster, held_by_another: str) -> None:
    kubernetes.client.delete("leases", held_by_another, LEASE)
    release = Release(name="shop", namespace=held_by_another, chart=Chart("", ""))
    environ = {"KUBECONFIG": str(kubernetes.kubeconfig)}
    with ReleaseLock(release, "tester", environ, Told().by).hold_release():
        (lease,) = kubernetes.client.list("leases", held_by_another)
        assert lease["spec"]["leaseDurationSeconds"] == 6
