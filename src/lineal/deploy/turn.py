"""One deploy of a release at a time: a Lease in its namespace, held while helm works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lineal.cluster.access import Unavailable
from lineal.cluster.api import Api, Refused
from lineal.deploy.release import Release
from lineal.errors import DeployFailed
from lineal.lock import Terms
from lineal.lock.kubernetes import Leases
from lineal.lock.leased import LeasedLock, LockFailed

_BESIDE = 120.0
"""Seconds that a deploy takes beside waiting twice: for readiness, and for that of a rollback."""


@dataclass(frozen=True, slots=True)
class Turn:
    alone: bool
    """Whether no other Lineal works on the release: only then is an unfinished revision known to be nobody's."""
    lost: threading.Event
    """Set when another one may have begun."""


class ReleaseLeases(Leases):
    def _object(self, checksum: str) -> str:
        return f"lineal-release-{checksum}"


class ReleaseLock(LeasedLock):
    """Nobody goes on beside another: who has waited in vain fails."""

    def __init__(
        self, leases: ReleaseLeases, release: Release, warn: Callable[[str], None], note: Callable[[str], None],
        stopped: threading.Event, terms: Terms | None = None,
    ) -> None:  # fmt: skip
        super().__init__(leases, warn, note, stopped, terms or Terms(wait=2 * release.timeout + _BESIDE))
        self._release_wanted = release

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        name = self._release_wanted.name
        lease = self._acquire(name)
        if lease is None:
            yield Turn(False, threading.Event())
            return
        lease.keep()
        try:
            yield Turn(True, lease.lost)
        finally:
            with suppress(LockFailed, OSError):  # it ends by itself; the deploy is what counts
                self._service.release(name, lease.end())

    def _doing(self, checksum: str) -> str:
        del checksum
        return f"deploys {self._release_wanted}"

    def _out_of_patience(self, checksum: str, who: str) -> None:
        what = f"{who} has been deploying {self._release_wanted} for more than {self._terms.wait:.0f} s."
        where = f"lease/lineal-release-{checksum} -n {self._release_wanted.namespace}"
        remedy = f"See what that run does; if there is none, run `kubectl delete {where}`."
        raise DeployFailed(what, remedy=remedy)

    def _give_up(self, failure: LockFailed | OSError) -> None:
        why = failure.strerror if isinstance(failure, OSError) else str(failure)
        self._warn(f"Whether another job deploys {self._release_wanted} at the same time is not known: {why}.")


def make_namespace(api: Api, namespace: str) -> bool:
    """It has the Lease before helm puts anything into it. Whoever may not make it leaves it to helm to say so.

    False when the cluster does not answer. Raises `DeployFailed` when the namespace is going away."""
    try:
        found = api.get(f"/api/v1/namespaces/{namespace}")
        if found is None:
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"name": namespace}},
            }
            api.create("/api/v1/namespaces", body)
            return True
    except Refused:
        return True
    except Unavailable:
        return False
    status = found.get("status")
    if isinstance(status, dict) and status.get("phase") == "Terminating":
        what = f"The namespace {namespace} is being deleted, and nothing can be deployed to it."
        remedy = f"Wait until it is gone; `kubectl get namespace {namespace} -o yaml` says what it waits for."
        raise DeployFailed(what, remedy=remedy)
    return True
