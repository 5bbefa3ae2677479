"""A lock in a Kubernetes cluster: a Lease, created by one run and deleted by it.

The API server never ends a Lease; how long it has not changed is for those to see who wait. lightkube knows how to
reach and log in to a cluster, the four requests are plain: deleting only what is still ours needs a precondition,
which its own client cannot send."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.lock.holder import tidy
from lineal.lock.leased import SOMEBODY, Holder, LockFailed

if TYPE_CHECKING:
    import httpx2

_TIMEOUT = 10.0
_BIGGEST = 1 << 20
_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403
_VERBS = {"POST": "create", "PUT": "update", "GET": "get", "DELETE": "delete"}
_NONCE = "lineal.dev/token"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Leases:
    """A service for `LeasedLock`; a token is a random text that stands in the Lease beside the holder."""

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
        self._made: httpx2.Client | None = None
        self.where = f"Leases in the namespace {namespace}" if namespace else "Leases in the cluster"

    def token(self) -> str:
        return secrets.token_hex(16)

    def claim(self, checksum: str, token: str, over: str | None) -> bool:
        lease = self._document(checksum, token)
        if over is None:
            return self._ask("POST", "", lease, allowed=(_CONFLICT,)) is not None
        lease["metadata"]["resourceVersion"] = over
        return self._ask("PUT", self._object(checksum), lease, allowed=(_CONFLICT, _NOT_FOUND)) is not None

    def look(self, checksum: str) -> Holder | None:
        found = self._ask("GET", self._object(checksum), allowed=(_NOT_FOUND,))
        if found is None:
            return None
        spec = found.get("spec")
        said = spec if isinstance(spec, dict) else {}
        who, seconds = said.get("holderIdentity"), said.get("leaseDurationSeconds")
        lease = float(seconds) if isinstance(seconds, int) and seconds > 0 else None
        return Holder(_version(found), tidy(str(who or "")) or SOMEBODY, lease)

    def identify(self, checksum: str, holder: Holder) -> Holder:
        del checksum
        return holder

    def renew(self, checksum: str, token: str) -> str | None:
        version = self._own(checksum, token)
        return token if version is not None and self.claim(checksum, token, version) else None

    def release(self, checksum: str, token: str) -> None:
        version = self._own(checksum, token)
        if version is not None:
            # Not somebody else's who has taken it over a moment ago.
            only = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": version}}
            self._ask("DELETE", self._object(checksum), only, allowed=(_NOT_FOUND, _CONFLICT))

    def _own(self, checksum: str, token: str) -> str | None:
        """The version of the Lease, None when it is not held with this token."""
        found = self._ask("GET", self._object(checksum), allowed=(_NOT_FOUND,))
        notes = found.get("metadata", {}).get("annotations") if found else None
        return _version(found) if found and isinstance(notes, dict) and notes.get(_NONCE) == token else None

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
            # For people: nobody compares these times with a clock.
            "spec": {
                "holderIdentity": self._holder, "leaseDurationSeconds": max(1, round(self._lease)),
                "acquireTime": now, "renewTime": now,
            },
        }  # fmt: skip

    # --- requests -----------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, name: str, body: Mapping[str, Any] | None = None, allowed: tuple[int, ...] = ()
    ) -> dict[str, Any] | None:
        """The answer; None when its status is an allowed one."""
        client = self._client()
        import httpx2
        from lightkube.core.exceptions import ConfigError

        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases" + (f"/{name}" if name else "")
        data = bytearray()
        try:
            with client.stream(method, path, content=json.dumps(body) if body else None,
                               headers={"Content-Type": "application/json"}) as response:  # fmt: skip
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > _BIGGEST:
                        raise LockFailed("its answer is not that of a Kubernetes API server")
        except ConfigError as error:
            raise LockFailed(tidy(str(error))) from None
        except (httpx2.HTTPError, OSError) as error:
            raise LockFailed(f"{client.base_url.host} cannot be reached ({type(error).__name__})") from None
        if response.status_code in allowed:
            return None
        return _good(response.status_code, bytes(data), method, self._namespace)

    def _client(self) -> httpx2.Client:
        with self._guard:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> httpx2.Client:
        client, default = connect(self._environ, self._context)
        self._namespace = self._namespace or default
        self.where = f"Leases in the namespace {self._namespace}"
        return client


def connect(environ: Mapping[str, str], context: str, timeout: float = _TIMEOUT) -> tuple[httpx2.Client, str]:
    """A client of the API server of `context` (empty: the kubeconfig's own, or the cluster of this pod), and the
    namespace that goes with it. Raises `LockFailed`."""
    try:
        import httpx2
        from lightkube.config import client_adapter
    except ImportError:
        raise LockFailed("lightkube is not installed; run `pip install lineal[kubernetes]`") from None
    try:
        config = _config(environ, context)
        parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(timeout))
        client: httpx2.Client = client_adapter.Client(config, parameters)
        return client, config.namespace
    except LockFailed:
        raise
    except Exception as error:  # noqa: BLE001 (lightkube checks nothing that it reads)
        raise LockFailed(f"the kubeconfig cannot be used ({type(error).__name__})") from None


def _config(environ: Mapping[str, str], context: str) -> Any:
    """As kubectl and helm do: the kubeconfig, and without one the service account of the pod."""
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.config.models import User

    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(named) > 1:
        raise LockFailed("KUBECONFIG names several files; name one that has the cluster, user and context")
    default = Path(environ.get("HOME") or Path.home()) / ".kube" / "config"
    file = Path(named[0]) if named else default
    if named and not file.is_file():
        raise LockFailed(f"KUBECONFIG names {file}, which does not exist")
    if file.is_file():
        config = KubeConfig.from_file(file).get(context or None)
    elif _SERVICE_ACCOUNT.is_dir():
        config = KubeConfig.from_service_account(_SERVICE_ACCOUNT).get()
    else:
        raise LockFailed("there is no kubeconfig, and this is no pod with a service account")
    # lightkube wants a user, also for a cluster that asks for none.
    return config._replace(user=config.user or User()) if config else config


def _good(status: int, data: bytes, method: str, namespace: str) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if status == _FORBIDDEN:
        raise LockFailed(
            f"this job may not {_VERBS[method]} Leases in the namespace {namespace}; docs/locks.md has the Role that "
            "it needs"
        )
    if status not in (200, 201, 202):
        said = tidy(str(answer.get("message", ""))) if isinstance(answer, dict) else ""
        raise LockFailed(f"the API server answers status {status}" + (f" and says {said!r}" if said else ""))
    if not isinstance(answer, dict):
        raise LockFailed("its answer is not that of a Kubernetes API server")
    return answer


def _version(lease: Mapping[str, Any]) -> str:
    metadata = lease.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version:
        raise LockFailed("its answer is not that of a Kubernetes API server")
    return version
