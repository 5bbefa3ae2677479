"""A real API server with the tests' controller; charts and namespaces of a test's own. A pytest plugin."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import Client
from tests.cluster.controller import controller
from tests.cluster.parts import api_server

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: 2
  selector:
    matchLabels: {app: {{ .Values.app | default .Release.Name }}}
  template:
    metadata:
      labels: {app: {{ .Values.app | default .Release.Name }}}
      annotations: {test/pods: {{ .Values.pods | default "ready" }}}
    spec:
      containers:
        - name: app
          image: registry.example.com/app:1
          env: [{name: TEXT, value: {{ .Values.text | default "none" | quote }}}]
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {password: {{ .Values.password | default "hunter2" | quote }}, user: shop}
"""


@dataclass(frozen=True)
class Cluster:
    kubeconfig: Path
    """Of somebody who may do everything. Beside it `nobody`, who may do nothing."""
    client: Client

    def releases(self, namespace: str) -> dict[int, str]:
        """Revision -> status, as helm keeps them."""
        found = self.client.list("secrets", namespace, "?labelSelector=owner=helm")
        about = [one["metadata"]["labels"] for one in found]
        return {
            int(labels["version"]): labels["status"] for labels in sorted(about, key=lambda one: int(one["version"]))
        }

    def versions(self, namespace: str) -> dict[str, str]:
        """Every object of interest there with its resource version: equal when nothing was written."""
        return {
            f"{kind}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
            for kind in ("secrets", "deployments", "configmaps", "pods")
            for one in self.client.list(kind, namespace)
            # The controller writes a status again and again; an unchanged one gets no new version.
        }

    def text(self, namespace: str, name: str) -> str:
        spec: dict[str, Any] = self.client.get("deployments", namespace, name)["spec"]["template"]["spec"]
        return str(spec["containers"][0]["env"][0]["value"])


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("kubernetes")
    with api_server(directory) as kubeconfig, controller(kubeconfig, directory / "kubelet") as client:
        yield Cluster(kubeconfig, client)


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that nothing has yet. Its workloads end with the test: the controller looks after all there are."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    if "kubernetes" in request.fixturenames:
        cluster: Cluster = request.getfixturevalue("kubernetes")
        cluster.client.clear(name)


@pytest.fixture
def small_chart(tmp_path: Path) -> Path:
    chart = tmp_path / "small"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 0.1.0\n")
    (chart / "templates" / "app.yaml").write_text(APP)
    (chart / "templates" / "secret.yaml").write_text(SECRET)
    return chart
