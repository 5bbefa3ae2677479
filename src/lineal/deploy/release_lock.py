"""The lock of a release: a Lease in its namespace, held while helm works, so that two deploys never overlap."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lineal.deploy.release import Release
from lineal.errors import DeployFailed
from lineal.kube.client import KubeClient, KubeRefused
from lineal.lock import LockTimeouts
from lineal.lock.kubernetes import Leases
from lineal.lock.leased import Holder, Lease, LeasedLock, LockFailed
from lineal.progress import Notes

_TRIES = 10
"""The number of requests to an API server that is away for a moment, because it is updated."""
_LEASE = 6.0
"""Seconds after which the Lease of a killed run may be taken over. Runs compare no clocks: each one counts for
itself, and only while the API server answers it. The holder suspends helm before that time is over without a
renewal, and goes on after one, which the API server refuses when another run was quicker."""
_AWAY = 120.0
"""Seconds that helm may stay suspended, because the API server does not answer."""
_BESIDE = 120.0
"""Seconds that a deploy takes beside waiting for readiness twice: its own, and that of a rollback."""


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    held: bool
    """Whether this run holds the Lease. Only then no other run works on the release, and an unfinished revision is
    left over from a run that was killed."""
    lost: threading.Event
    """Set when another run may have begun."""
    doubtful: Callable[[], bool]
    """Whether another run may begin soon: helm must not go on for the moment."""
    mark: str
    """Tells the revisions of this run from those of others: the token of its Lease."""
    killed: str = ""
    """The mark of the run before when that was killed: whatever is unfinished is its work. Empty for none."""

    @classmethod
    def none(cls) -> ReleaseHold:
        return cls(False, threading.Event(), lambda: False, secrets.token_hex(16))


class ReleaseLeases(Leases):
    """Leases of releases. Once the API server has answered, a look that fails is repeated: a run that waits for
    another deploy must not start beside it because of one failed request."""

    def __init__(
        self, release: Release, holder: str, environ: Mapping[str, str], notes: Notes, timeouts: LockTimeouts
    ) -> None:
        """In the cluster that helm would choose."""
        context = release.kube_context or environ.get("HELM_KUBECONTEXT", "")
        super().__init__(release.namespace, context, f"release {release.name}", holder, timeouts.lease, environ)
        self.worked = False
        self._stopped = notes.stopped
        self._pause = timeouts.retry

    def look(self, checksum: str) -> Holder | None:
        for left in reversed(range(_TRIES)):
            try:
                found = super().look(checksum)
            except LockFailed:
                if not (self.worked and left):
                    raise
                self._stopped.wait(self._pause)
            else:
                self.worked = True
                return found
        raise AssertionError("the last try returns or raises")

    def _object(self, checksum: str) -> str:
        return f"lineal-release-{checksum}"


class ReleaseLock(LeasedLock):
    """Two deploys of a release never overlap: a run that does not get the Lease in time fails."""

    def __init__(
        self, release: Release, holder: str, environ: Mapping[str, str], notes: Notes,
        timeouts: LockTimeouts | None = None,
    ) -> None:  # fmt: skip
        """`holder` is the name of this run for people. `environ` is that of helm."""
        timeouts = timeouts or LockTimeouts(lease=_LEASE, away=_AWAY, wait=2 * release.timeout + _BESIDE, poll=0.5)
        self._leases = ReleaseLeases(release, holder, environ, notes, timeouts)
        super().__init__(self._leases, notes, timeouts)
        self._release_wanted = release

    @contextmanager
    def hold_release(self) -> Iterator[ReleaseHold]:
        """Wait (bounded) for the Lease and hold it. Where the cluster gives this run no Lease, a warning says so, and
        `held` is False. Raises `DeployFailed` and `Interrupted`."""
        name = self._release_wanted.name
        lease = self._acquire(name)
        if lease is None:
            yield ReleaseHold.none()
            return
        lease.keep()
        try:
            yield ReleaseHold(True, lease.lost, lease.doubtful, lease.token, lease.killed)
        finally:
            with suppress(LockFailed, OSError):  # the Lease ends by itself, and the deploy has its own result
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
            return None  # the next look tells who has it

    def _out_of_patience(self, checksum: str, who: str) -> None:
        what = (
            f"This run has waited {self._timeouts.wait:.0f} s to deploy {self._release_wanted}, which {who} does now."
        )
        where = f"lease/lineal-release-{checksum} -n {self._release_wanted.namespace}"
        remedy = f"See what that run does; if there is none, run `kubectl delete {where}`."
        raise DeployFailed(what, id="LN-6034", remedy=remedy)

    def _give_up(self, failure: LockFailed | OSError) -> None:
        why = failure.strerror if isinstance(failure, OSError) else str(failure)
        if self._leases.worked:
            what = f"Whether another job still deploys {self._release_wanted} cannot be asked any more: {why}."
            raise DeployFailed(what, id="LN-6035", remedy="Run it again when the API server answers.")
        self._notes.warn(f"Whether another job deploys {self._release_wanted} at the same time is not known: {why}.")


def make_namespace(api: KubeClient, namespace: str) -> None:
    """Create the namespace if there is none, so that the Lease can be in it before helm puts anything there. Who may
    not have it created may still deploy to one that is there: where there is none, helm says so.

    Raises `KubeUnavailable`, and `DeployFailed` when the namespace is being deleted."""
    found = None
    with suppress(KubeRefused):
        found = api.get(f"/api/v1/namespaces/{namespace}")
    if found is None:
        about = {"name": namespace, "labels": {"name": namespace}}
        with suppress(KubeRefused):
            api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": about})
        return
    status = found.get("status")
    if isinstance(status, dict) and status.get("phase") == "Terminating":
        what = f"The namespace {namespace} is being deleted, and nothing can be deployed to it."
        remedy = f"Wait until it is gone; `kubectl get namespace {namespace} -o yaml` says what it waits for."
        raise DeployFailed(what, id="LN-6028", remedy=remedy)
