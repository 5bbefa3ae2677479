"""Plain requests to the API server of a kubeconfig that `parts.py` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

_GROUPS = {
    "deployments": "/apis/apps/v1", "replicasets": "/apis/apps/v1", "statefulsets": "/apis/apps/v1",
    "daemonsets": "/apis/apps/v1", "jobs": "/apis/batch/v1", "leases": "/apis/coordination.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1", "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "validatingadmissionpolicies": "/apis/admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings": "/apis/admissionregistration.k8s.io/v1",
    "gitrepositories": "/apis/source.toolkit.fluxcd.io/v1", "ocirepositories": "/apis/source.toolkit.fluxcd.io/v1",
    "kustomizations": "/apis/kustomize.toolkit.fluxcd.io/v1", "helmreleases": "/apis/helm.toolkit.fluxcd.io/v2",
    "applications": "/apis/argoproj.io/v1alpha1",
}  # fmt: skip


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Client:
    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        about = config["clusters"][0]["cluster"]
        self._server: str = about["server"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = about["certificate-authority"]
        self._session.headers["Authorization"] = f"Bearer {config['users'][0]['user']['token']}"

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> dict[str, Any]:
        """Raises `Refused`."""
        data = None if body is None else json.dumps(body)
        answer = self._session.request(
            method, self._server + path, data=data, headers={"Content-Type": kind}, timeout=300
        )
        found: dict[str, Any] = answer.json()
        if answer.status_code >= 300:
            raise Refused(answer.status_code, str(found.get("message")))
        return found

    def path(self, kind: str, namespace: str = "", name: str = "") -> str:
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{_GROUPS.get(kind, '/api/v1')}{inside}/{kind}" + (f"/{name}" if name else "")

    def list(self, kind: str, namespace: str = "", query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", self.path(kind, namespace) + query)["items"]
        return found

    def revision(self) -> str:
        """Changes with every write to the cluster, whatever it is to."""
        return str(self.ask("GET", self.path("daemonsets") + "?limit=1")["metadata"]["resourceVersion"])

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        return self.ask("GET", self.path(kind, namespace, name))

    def create(self, kind: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.ask("POST", self.path(kind, namespace), body)

    def status(self, kind: str, namespace: str, name: str, status: dict[str, Any]) -> dict[str, Any]:
        path = self.path(kind, namespace, name) + "/status"
        return self.ask("PATCH", path, {"status": status}, "application/merge-patch+json")

    def delete(self, kind: str, namespace: str, name: str) -> None:
        options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        self.ask("DELETE", self.path(kind, namespace, name), options)

    def clear(self, namespace: str) -> None:
        """Deletes the workloads of a namespace, with their pods."""
        for kind in ("deployments", "statefulsets", "daemonsets", "jobs", "replicasets", "pods"):
            self.ask("DELETE", self.path(kind, namespace), {"gracePeriodSeconds": 0})
