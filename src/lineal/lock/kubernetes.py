"""A lock in a Kubernetes cluster: a Lease, created by one run and deleted by it.

The API server never ends a Lease. A run that waits sees for itself how long the Lease has not changed."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lineal.kube.client import CONFLICT, FORBIDDEN, NOT_FOUND, KubeClient, KubeRefused, path
from lineal.kube.login import KubeUnavailable
from lineal.lock.leased import SOMEBODY, Holder, LockFailed
from lineal.text import one_line

_GROUP = "apis/coordination.k8s.io/v1"
_BIGGEST = 1 << 20
_QUICK, _PATIENT = 3.0, 10.0
"""Seconds for a request: half a lease, within these limits."""
_VERBS = {"POST": "create", "PUT": "update", "GET": "get", "DELETE": "delete"}
_NONCE = "lineal.dev/token"
_IDENTITY = ("uid", "resourceVersion")
"""The fields that identify the state of a Lease. Without its uid, a PUT would make a deleted Lease anew, whatever
version it names."""


class Leases:
    """The service of `LeasedLock` in a cluster; a token is a random text in the Lease beside the holder."""

    name = "kubernetes"
    takes_over = True

    def __init__(
        self, namespace: str, context: str, store: str, holder: str, lease: float, environ: Mapping[str, str]
    ) -> None:
        """`namespace` and `context` may be empty: then the kubeconfig's, or those of the pod, count."""
        self._namespace = namespace
        self._context = context
        self._store = store
        self._holder = holder
        self._lease = lease
        self._environ = environ
        self._guard = threading.Lock()
        self._made: KubeClient | None = None
        self.where = f"Leases in the namespace {namespace}" if namespace else "Leases in the cluster"

    def token(self) -> str:
        return secrets.token_hex(16)

    def claim(self, checksum: str, token: str, over: str | None) -> bool:
        lease = self._document(checksum, token)
        if over is None:
            return self._ask("POST", "", lease, allowed=(CONFLICT,)) is not None
        lease["metadata"] |= _precondition(over)
        return self._ask("PUT", self._object(checksum), lease, allowed=(CONFLICT, NOT_FOUND)) is not None

    def look(self, checksum: str) -> Holder | None:
        found = self._ask("GET", self._object(checksum), allowed=(NOT_FOUND,))
        if found is None:
            return None
        spec = found.get("spec")
        said = spec if isinstance(spec, dict) else {}
        who, seconds = said.get("holderIdentity"), said.get("leaseDurationSeconds")
        lease = float(seconds) if isinstance(seconds, int) and seconds > 0 else None
        return Holder(_version(found), one_line(str(who or "")) or SOMEBODY, lease, _token(found))

    def identify(self, checksum: str, holder: Holder) -> Holder:
        del checksum
        return holder

    def renew(self, checksum: str, token: str) -> str | None:
        version = self._own(checksum, token)
        return token if version is not None and self.claim(checksum, token, version) else None

    def release(self, checksum: str, token: str) -> None:
        version = self._own(checksum, token)
        if version is not None:
            # Only this state of the Lease: another run may have taken it over a moment ago.
            only = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": _precondition(version)}
            self._ask("DELETE", self._object(checksum), only, allowed=(NOT_FOUND, CONFLICT))

    def _own(self, checksum: str, token: str) -> str | None:
        """The version of the Lease, None when it is not held with this token."""
        found = self._ask("GET", self._object(checksum), allowed=(NOT_FOUND,))
        return _version(found) if found and _token(found) == token else None

    def _object(self, checksum: str) -> str:
        return f"lineal-{hashlib.sha256(self._store.encode()).hexdigest()[:12]}-{checksum}"

    def _document(self, checksum: str, token: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._object(checksum),
                "labels": {"app.kubernetes.io/managed-by": "lineal"},
                "annotations": {_NONCE: token, "lineal.dev/store": self._store},
            },
            # The times are for people: no run compares them with its clock.
            "spec": {
                "holderIdentity": self._holder, "leaseDurationSeconds": max(1, round(self._lease)),
                "acquireTime": now, "renewTime": now,
            },
        }  # fmt: skip

    # --- requests -----------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, name: str, body: Mapping[str, Any] | None = None, allowed: tuple[int, ...] = ()
    ) -> dict[str, Any] | None:
        """The answer; None when its status is one of `allowed`."""
        try:
            api = self._api()
            return api.ask(method, path(_GROUP, self._namespace, "leases", name), body, allowed=allowed)
        except KubeUnavailable as error:
            raise LockFailed(str(error)) from None
        except KubeRefused as error:
            raise LockFailed(_refusal(error, method, self._namespace)) from None

    def _api(self) -> KubeClient:
        with self._guard:
            if self._made is None:
                # A request that hangs must not keep a holder from trying to renew again.
                timeout = min(max(_QUICK, self._lease / 2), _PATIENT)
                self._made = KubeClient.connect(self._environ, self._context, timeout=timeout, biggest=_BIGGEST)
                self._namespace = self._namespace or self._made.namespace
                self.where = f"Leases in the namespace {self._namespace}"
            return self._made


def _refusal(error: KubeRefused, method: str, namespace: str) -> str:
    if error.status == FORBIDDEN:
        may_not = f"this job may not {_VERBS[method]} Leases in the namespace {namespace}"
        return f"{may_not}; docs/locks.md has the Role that it needs"
    said = one_line(error.message)
    return f"the API server answers status {error.status}" + (f" and says {said!r}" if said else "")


def _token(lease: Mapping[str, Any]) -> str:
    metadata = lease.get("metadata")
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    return str(notes.get(_NONCE, "")) if isinstance(notes, dict) else ""


def _version(lease: Mapping[str, Any]) -> str:
    metadata = lease.get("metadata")
    found = [str(metadata.get(key) or "") for key in _IDENTITY] if isinstance(metadata, dict) else []
    if not found or not all(found):
        raise LockFailed("its answer is not that of a Kubernetes API server")
    return "/".join(found)


def _precondition(version: str) -> dict[str, str]:
    return dict(zip(_IDENTITY, version.split("/"), strict=True))
