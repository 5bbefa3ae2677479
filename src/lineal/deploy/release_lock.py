"""One deploy of a release at a time: a Lease in its namespace, held while helm works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lineal.deploy.release import Release
from lineal.errors import DeployFailed
from lineal.kube.client import KubeClient, KubeRefused
from lineal.lock import LockTimeouts
from lineal.lock.holder import describe
from lineal.lock.kubernetes import Leases
from lineal.lock.leased import Holder, Lease, LeasedLock, LockFailed

_TRIES, _PAUSE = 10, 3.0
"""An API server that is updated is away for a moment."""
_BESIDE = 120.0
"""Seconds that a deploy takes beside waiting twice: for readiness, and for that of a rollback."""


@dataclass(frozen=True, slots=True)
class Turn:
    alone: bool
    """Whether no other Lineal works on the release: only then is an unfinished revision known to be nobody's."""
    lost: threading.Event
    """Set when another one may have begun."""


class ReleaseLeases(Leases):
    """Once they have worked, a request that fails is repeated: who waits for another deploy must not run into it."""

    worked = False

    def look(self, checksum: str) -> Holder | None:
        for left in reversed(range(_TRIES)):
            try:
                found = super().look(checksum)
            except LockFailed:
                if not (self.worked and left):
                    raise
                time.sleep(_PAUSE)
            else:
                self.worked = True
                return found
        raise AssertionError("the last try returns or raises")

    def _object(self, checksum: str) -> str:
        return f"lineal-release-{checksum}"


class ReleaseLock(LeasedLock):
    """Nobody goes on beside another: who has waited in vain fails."""

    def __init__(
        self, leases: ReleaseLeases, release: Release, warn: Callable[[str], None], note: Callable[[str], None],
        stopped: threading.Event, terms: LockTimeouts | None = None,
    ) -> None:  # fmt: skip
        super().__init__(leases, warn, note, stopped, terms or LockTimeouts(wait=2 * release.timeout + _BESIDE))
        self._release_wanted = release
        self._leases = leases

    @classmethod
    def of(
        cls, release: Release, environ: Mapping[str, str], warn: Callable[[str], None], note: Callable[[str], None],
        stopped: threading.Event, terms: LockTimeouts | None = None,
    ) -> ReleaseLock:  # fmt: skip
        """In the cluster that helm would choose."""
        context = release.kube_context or environ.get("HELM_KUBECONTEXT", "")
        lease = (terms or LockTimeouts()).lease
        leases = ReleaseLeases(release.namespace, context, f"release {release.name}", describe(environ), lease,
                               environ)  # fmt: skip
        return cls(leases, release, warn, note, stopped, terms)

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

    def _try(self, checksum: str, over: str | None) -> Lease | None:
        try:
            return super()._try(checksum, over)
        except LockFailed:
            if not self._leases.worked:
                raise
            return None  # it is looked at again

    def _out_of_patience(self, checksum: str, who: str) -> None:
        what = f"This run has waited {self._terms.wait:.0f} s to deploy {self._release_wanted}, which {who} does now."
        where = f"lease/lineal-release-{checksum} -n {self._release_wanted.namespace}"
        remedy = f"See what that run does; if there is none, run `kubectl delete {where}`."
        raise DeployFailed(what, remedy=remedy)

    def _give_up(self, failure: LockFailed | OSError) -> None:
        why = failure.strerror if isinstance(failure, OSError) else str(failure)
        if self._leases.worked:
            what = f"Whether another job still deploys {self._release_wanted} cannot be asked any more: {why}."
            raise DeployFailed(what, remedy="Run it again when the API server answers.")
        self._warn(f"Whether another job deploys {self._release_wanted} at the same time is not known: {why}.")


def make_namespace(api: KubeClient, namespace: str) -> None:
    """It has the Lease before helm puts anything into it. Whoever may not make it leaves it to helm to say so.

    Raises `Unavailable`, and `DeployFailed` when the namespace is going away."""
    try:
        found = api.get(f"/api/v1/namespaces/{namespace}")
        if found is None:
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"name": namespace}},
            }
            api.create("/api/v1/namespaces", body)
            return
    except KubeRefused:
        return
    status = found.get("status")
    if isinstance(status, dict) and status.get("phase") == "Terminating":
        what = f"The namespace {namespace} is being deleted, and nothing can be deployed to it."
        remedy = f"Wait until it is gone; `kubectl get namespace {namespace} -o yaml` says what it waits for."
        raise DeployFailed(what, remedy=remedy)
