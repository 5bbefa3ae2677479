"""`lineal rollback` and `lineal drift` as people run them, against a real API server with both Helms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.fixtures import APP, SECRET, Cluster
from tests.conftest import Lineal
from tests.e2e.parts import read_until
from tests.forks import Result
from tests.helms import HELM4_SOONER
from tests.tools import helm as binaries

pytestmark = pytest.mark.helm
SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {one: "1", two: "2"}
"""
_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"


class Shop:
    """A release with a Deployment, a Secret and a ConfigMap."""

    def __init__(self, lineal: Lineal, cluster: Cluster, namespace: str, report: Path) -> None:
        self._lineal, self.cluster, self.namespace, self._report = lineal, cluster, namespace, report

    def __call__(self, *args: str, code: int = 0) -> Result:
        self._report.unlink(missing_ok=True)
        done = self._lineal(*args, "--report", str(self._report))
        assert done.code == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def start(self, *args: str) -> Any:
        return self._lineal.start(*args, "--report", str(self._report))

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found

    def patch(self, kind: str, name: str, body: object, *, who: str = "kubectl-edit", how: str = _MERGE) -> None:
        path = f"{self.cluster.client.path(kind, self.namespace, name)}?fieldManager={who}"
        self.cluster.client.ask("PATCH", path, body, how)


@pytest.fixture(params=HELM4_SOONER)
def shop(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, kubernetes: Cluster, namespace: str,
    tmp_path: Path,
) -> Shop:  # fmt: skip
    binaries.fetch(binaries.directory())
    repo.write({
        "lineal.yaml": f"project: shop\ndeploy: {{chart: chart, release: shop, namespace: {namespace}}}\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
        "chart/templates/app.yaml": APP, "chart/templates/secret.yaml": SECRET,
        "chart/templates/settings.yaml": SETTINGS,
    })  # fmt: skip
    lineal.env.update({
        "LINEAL_HELM": str(binaries.directory() / request.param), "KUBECONFIG": str(kubernetes.kubeconfig),
        "LINEAL_REPO": f"layout:{tmp_path / 'store'}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    })  # fmt: skip
    return Shop(lineal, kubernetes, namespace, tmp_path / "report.json")


def test_back_to_what_worked_before(shop: Shop, tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        shop("deploy", "--set", f"text={text}")
    back = shop("rollback", "--timeout", "60s")
    assert shop.cluster.text(shop.namespace, "shop") == "two"
    assert "Deployment shop: 2 of 2 ready" in back.stderr
    assert back.stdout == ""
    release = shop.report["release"]
    assert (release["status"], release["revision"]) == ("rolled back", 4)
    assert release["told"] == ["It was rolled back to revision 2, as revision 4."]
    assert "rolled <code>shop</code> back" in (tmp_path / "summary.md").read_text().lower()
    # Once more goes one further, not back to what it is.
    shop("rollback")
    assert shop.cluster.text(shop.namespace, "shop") == "one"
    missing = shop("rollback", code=1)
    assert "There is no revision of release shop" in missing.stderr and "before 1 that worked." in missing.stderr
    shop("rollback", "3", "--release", "shop", "--namespace", shop.namespace)
    assert shop.cluster.text(shop.namespace, "shop") == "three"
    assert shop.cluster.releases(shop.namespace)[6] == "deployed"
    leases = [one["metadata"]["name"] for one in shop.cluster.client.list("leases", shop.namespace)]
    assert leases == []
    unknown = shop("rollback", "99", code=3)
    assert "There is no revision 99 of release shop" in unknown.stderr and "helm keeps 1, 2, 3" in unknown.stderr
    nothing = shop("rollback", "--release", "nothing", code=1)
    assert "There is no release nothing in namespace" in nothing.stderr


def test_a_revision_that_does_not_become_ready_is_told_and_stays(shop: Shop) -> None:
    shop("deploy", "--set", "text=one")
    shop("deploy", "--set", "text=bad", "--set", "pods=crash", code=1)
    failed = shop("rollback", "2", "--timeout", "60s", code=1)
    assert "CrashLoopBackOff: its container app ended with 2" in failed.stderr
    assert "as revision 2, stays" in failed.stderr
    assert shop.report["release"]["status"] == "deployed"
    # Helm takes it for deployed; Lineal does not go back to it, but to that which is as revision 1.
    shop("deploy", "--set", "text=bad", "--set", "pods=config", code=1)
    assert "it is as in revision 3 again" in str(shop.report["release"]["told"])
    assert "  | panic: no database" in failed.stderr


def test_a_rollback_that_is_interrupted_is_ended(shop: Shop) -> None:
    shop("deploy", "--set", "text=late", "--set", "pods=ready")
    shop("deploy", "--set", "text=bad", "--set", "pods=unscheduled", "--timeout", "3s", code=1)
    running = shop.start("rollback", "2")
    read_until(running, "0 of 2 ready")
    running.send_signal(15)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 130, said
    assert "was interrupted. Its objects are those of revision 2" in said
    assert list(shop.cluster.releases(shop.namespace).values())[-1] == "deployed"
    shop("deploy", "--set", "text=one")
    assert shop.cluster.text(shop.namespace, "shop") == "one"


def test_what_somebody_changed_by_hand_is_shown(shop: Shop, tmp_path: Path) -> None:
    shop("deploy", "--set", "text=one")
    same = shop("drift")
    assert same.stdout == "The cluster is as it was deployed.\n"
    assert shop.report["release"]["status"] == "as deployed"

    container = {"name": "app", "image": "registry.example.com/app:2", "env": [{"name": "EXTRA", "value": "1"}]}
    shop.patch("deployments", "shop", {"spec": {"template": {"spec": {"containers": [container]}}}}, how=_STRATEGIC)
    shop.patch("secrets", "shop", {"stringData": {"password": "swordfish"}}, who="kubectl-patch")
    shop.patch("configmaps", "settings", {"data": {"one": None}})
    found = shop("drift", code=2)
    assert found.stdout.startswith("3 objects in the cluster differ from what was deployed: 3 changed.\n")
    assert "Deployment shop is not as it was deployed, by kubectl-edit: " in found.stdout
    lines = [line.replace(" ", "") for line in found.stdout.splitlines()]
    assert "-image:registry.example.com/app:1" in lines and "+image:registry.example.com/app:2" in lines
    assert "-password:(hidden)" in lines and "+password:(changed)" in lines
    assert "-one:'1'" in lines
    assert "registry.example.com/app:2" in found.stdout and "EXTRA" in found.stdout
    assert "ConfigMap settings is not as it was deployed: data.one." in found.stdout
    assert "Secret shop is not as it was deployed, by kubectl-patch: data.password." in found.stdout
    everything = found.stdout + found.stderr + json.dumps(shop.report) + (tmp_path / "summary.md").read_text()
    for secret in ("swordfish", "c3dvcmRmaXNo", "hunter2", "aHVudGVyMg"):
        assert secret not in everything
    assert {change["kind"] for change in shop.report["changes"]} == {"Deployment", "Secret", "ConfigMap"}
    assert shop.report["release"]["status"] == "drifted"

    deployed = shop("deploy", "--set", "text=two")
    assert "ConfigMap settings is not as it was deployed: data.one." in deployed.stderr
    assert "by kubectl-patch: data.password" in str(shop.report["release"]["told"])
    shop.cluster.client.delete("configmaps", shop.namespace, "settings")
    gone = shop("drift", code=2)
    assert "ConfigMap settings is not there any more." in gone.stdout


def test_what_controllers_own_is_no_drift(shop: Shop) -> None:
    shop("deploy", "--set", "text=one")
    shop.patch("deployments", "shop", {"spec": {"replicas": 5}}, who="kube-controller-manager")
    note = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "7"}}}
    shop.patch("deployments", "shop", note, who="kube-controller-manager")
    sidecar = {"name": "proxy", "image": "registry.example.com/proxy:1"}
    shop.patch(
        "deployments", "shop", {"spec": {"template": {"spec": {"containers": [sidecar]}}}},
        who="sidecar-injector", how=_STRATEGIC,
    )  # fmt: skip
    assert shop("drift").stdout == "The cluster is as it was deployed.\n"
    shop.patch("deployments", "shop", {"spec": {"replicas": 1}}, who="kubectl-scale")
    found = shop("drift", code=2)
    assert "Deployment shop is not as it was deployed, by kubectl-scale: spec.replicas." in found.stdout
    assert "proxy" not in found.stdout


def test_a_cluster_that_does_not_tell_is_no_clean_one(shop: Shop, kubernetes: Cluster) -> None:
    away = shop._lineal("drift", env={"KUBECONFIG": "none"})
    assert away.code == 5, away.stderr
    missing = shop("drift", "--release", "nothing", code=1)
    assert "There is no release nothing in namespace" in missing.stderr
