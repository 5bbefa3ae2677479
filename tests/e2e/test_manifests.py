"""`deploy.manifests` as people use it, on a real API server with both Helms: applied, waited for, pruned, compared,
rolled back, dismissed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.client import Refused
from tests.cluster.fixtures import Cluster
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.helms import HELM4_SOONER
from tests.tools import helm as binaries

pytestmark = pytest.mark.helm
APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {test/pods: PODS}}
    spec: {containers: [{name: web, image: "{{ images.web.image }}"}]}
"""
REST = """\
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: GROUP/v1
kind: Widget
metadata: {name: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: "{{ .Values.nobody }}"}
"""


@pytest.fixture(params=HELM4_SOONER)
def shop(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, kubernetes: Cluster, namespace: str,
    tmp_path: Path,
) -> Project:  # fmt: skip
    binaries.fetch(binaries.directory())
    project = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    group = f"{namespace}.example.com"
    repo.write({
        "Dockerfile": "FROM scratch\nCOPY file /\n", "file": "one\n",
        "lineal.yaml": f"project: shop\nimages: {{web: {{}}}}\n"
                       f"deploy: {{manifests: [k8s], namespace: {namespace}, timeout: 60s}}\n",
        "k8s/app.yaml.j2": APP.replace("PODS", "ready"),
        "k8s/rest.yaml": REST.replace("NAMESPACE", namespace).replace("GROUP", group),
    })  # fmt: skip
    lineal.env.update({
        **NOWHERE, "LINEAL_HELM": str(binaries.directory() / request.param), "KUBECONFIG": str(kubernetes.kubeconfig),
    })  # fmt: skip
    return project


def image(cluster: Cluster, namespace: str) -> str:
    found: dict[str, Any] = cluster.client.get("deployments", namespace, "web")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_manifests_without_a_chart_are_a_release(shop: Project, kubernetes: Cluster, namespace: str) -> None:
    client = kubernetes.client
    planned = shop.run("plan", "--diff", "--exit-code", code=2)
    assert "create Deployment web" in planned.stdout
    first = shop.run("converge")
    assert first.report["release"]["status"] == "deployed"
    assert "Deployment web: 1 of 1 ready" in first.stderr
    assert image(kubernetes, namespace).endswith(f"@{first.digests['web']}")
    assert client.get("configmaps", namespace, "settings")["data"] == {"greeting": "{{ .Values.nobody }}"}
    managed = client.get("configmaps", namespace, "settings")["metadata"]["managedFields"]
    by_server = "Apply" if "helm4" in shop.lineal.env["LINEAL_HELM"] else "Update"
    assert [(entry["manager"], entry["operation"]) for entry in managed] == [("helm", by_server)]
    widgets = f"/apis/{namespace}.example.com/v1/namespaces/{namespace}/widgets"
    assert [one["metadata"]["name"] for one in client.ask("GET", widgets)["items"]] == ["one"]
    assert shop.run("deploy").report["release"]["status"] == "unchanged"
    assert shop.lineal("drift").stdout == "The cluster is as it was deployed.\n"

    # What is no manifest any more goes; what changed is shown before.
    rest = (shop.repo.path / "k8s/rest.yaml").read_text().rsplit("---\n", 1)[0]
    shop.repo.write({"file": "two\n", "k8s/rest.yaml": rest})
    shop.build()
    diff = json.loads(shop.run("plan", "--diff", "--format", "json").stdout)["changes"]
    assert {(one["action"], one["kind"]) for one in diff} == {("change", "Deployment"), ("delete", "ConfigMap")}
    second = shop.run("deploy")
    assert image(kubernetes, namespace).endswith(f"@{second.digests['web']}")
    with pytest.raises(Refused, match="404"):
        client.get("configmaps", namespace, "settings")

    # What does not become ready is put back, and what worked can be gone back to.
    shop.repo.write({"k8s/app.yaml.j2": APP.replace("PODS", "crash")})
    failed = shop.run("deploy", code=1)
    assert "CrashLoopBackOff" in failed.error
    assert failed.report["release"]["status"] == "rolled back"
    back = shop.lineal("rollback", "1")
    assert back.code == 0, back.stderr
    assert image(kubernetes, namespace).endswith(f"@{first.digests['web']}")
    assert client.get("configmaps", namespace, "settings")["metadata"]["name"] == "settings"

    gone = shop.lineal("dismiss")
    assert gone.code == 0, gone.stderr
    for kind, name in (("deployments", "web"), ("configmaps", "settings")):
        with pytest.raises(Refused, match="404"):
            client.get(kind, namespace, name)


def test_what_kubectl_applied_before_is_taken_over_when_asked(
    shop: Project, kubernetes: Cluster, namespace: str
) -> None:
    kubernetes.client.create("namespaces", "", {"metadata": {"name": namespace}})
    kubernetes.client.create("configmaps", namespace, {"metadata": {"name": "settings"}, "data": {"greeting": "old"}})
    refused = shop.run("converge", code=1)
    assert "settings" in refused.error and "--take-ownership" in refused.error
    shop.run("deploy", "--take-ownership")
    assert kubernetes.client.get("configmaps", namespace, "settings")["data"] == {"greeting": "{{ .Values.nobody }}"}
