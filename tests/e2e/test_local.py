"""docs/local.md: developers who have a namespace of a shared cluster, and nothing else of it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.fixtures import APP, Cluster
from tests.cluster.parts import nobody
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, read_until, save
from tests.tools import helm as binaries

PAGE = (Path(__file__).resolve().parents[2] / "docs/local.md").read_text()
RIGHTS = [
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
]
"""In the namespace, as the page has them."""
WAITING = "Waiting for the next change"


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, repository: str, namespace: str, tmp_path: Path) -> Project:
    """A shop that each environment has a release of."""
    app = APP.replace('.Values.text | default "none"', ".Values.global.lineal.images.shop.image")
    binaries.fetch(binaries.directory())
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(binaries.directory() / "helm4"), "LINEAL_REPO": repository})
    repo.write({
        "lineal.yaml": "project: shop\nimages: {shop: {}}\n"
                       f'deploy: {{chart: chart, release: "shop-{{{{ env }}}}", namespace: {namespace}}}\n',
        "Dockerfile": "FROM scratch\nCOPY site /site\n", "site/index.html": "one\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
        "chart/templates/app.yaml": app,
    })  # fmt: skip
    return Project(repo, lineal, repository, tmp_path)


def contexts(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of somebody whose current cluster is another one, which cannot be reached."""
    config = json.loads(nobody(cluster.kubeconfig).read_text())
    config["clusters"].append({"name": "production", "cluster": {"server": "https://127.0.0.1:1"}})
    user = config["contexts"][0]["context"]["user"]
    config["contexts"].append({"name": "production", "context": {"cluster": "production", "user": user}})
    config["contexts"][0]["name"], config["current-context"] = "team", "production"
    (folder / "kubeconfig").write_text(json.dumps(config))
    return folder / "kubeconfig"


def give(cluster: Cluster, namespace: str, rules: list[dict[str, Any]]) -> None:
    """What an administrator does for the team: a namespace, and rights in it alone."""
    client = cluster.client
    client.create("namespaces", "", {"metadata": {"name": namespace}})
    client.create("roles", namespace, {"metadata": {"name": "team"}, "rules": rules})
    client.create("rolebindings", namespace, {
        "metadata": {"name": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "team"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    })  # fmt: skip


@pytest.mark.helm
def test_a_release_of_ones_own_in_a_namespace_of_a_shared_cluster(
    shop: Project, kubernetes: Cluster, namespace: str, tmp_path: Path
) -> None:
    give(kubernetes, namespace, RIGHTS)
    shop.lineal.env["KUBECONFIG"] = str(contexts(kubernetes, tmp_path))
    of_page = re.search(r"^(lineal converge --kube-context) \S+ (--dev --follow)$", PAGE, re.M)
    assert of_page is not None
    words = [*f"{of_page[1]} team {of_page[2]}".split()[1:]]

    def deployed(env: str) -> str:
        return kubernetes.text(namespace, f"shop-{env}")

    # A colleague has a release there, too.
    shop.run("converge", "--kube-context", "team", "--dev", env={"LINEAL_ENV": "bob"})
    colleague = kubernetes.versions(namespace)["deployments/shop-bob"]
    found = shop.lineal("doctor", "--kube-context", "team", env={"LINEAL_ENV": "ada"})
    assert found.code == 0, found.stdout + found.stderr
    running = shop.start(*words, env={"LINEAL_ENV": "ada"})
    try:
        read_until(running, WAITING)
        first = deployed("ada")
        save(shop.repo, "site/index.html", "two\n")
        assert "Changed: site/index.html" in read_until(running, WAITING)
        assert deployed("ada") != first == deployed("bob")
    finally:
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=300)
    assert running.returncode == 130, said
    dismiss = ("dismiss", "--kube-context", "team")
    kept = shop.lineal(*dismiss, "--with-namespace", env={"LINEAL_ENV": "ada"})
    assert kept.code == 1 and deployed("ada")
    assert f"The namespace {namespace} has other releases in it: shop-bob." in kept.stderr
    ended = shop.lineal(*dismiss, env={"LINEAL_ENV": "ada"})
    assert ended.code == 0, ended.stderr
    assert [one["metadata"]["name"] for one in kubernetes.client.list("deployments", namespace)] == ["shop-bob"]
    assert kubernetes.versions(namespace)["deployments/shop-bob"] == colleague
