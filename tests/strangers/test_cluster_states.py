"""What a cluster was left with, or does not give: volumes, rights, kinds, objects that end, pods changed by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal.deploy.helm.client import Helm
from lineal.errors import DeployFailed
from tests.cluster.parts import nobody
from tests.strangers.shop import Case, Running, Shop, wait_until, with_helms, workload

pytestmark = pytest.mark.server
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings%s}\n"
CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: nobody, resources: {requests: {storage: 1Gi}}}
"""


def pods_that_somebody_changes_by_hand(shop: Shop) -> None:
    """The first ones are made for it all the same."""
    shop.chart(app=workload("StatefulSet", spec="serviceName: x\n  updateStrategy: {type: OnDelete}"))
    assert "StatefulSet shop in namespace" in shop.fails("pods=crash") and "CrashLoopBackOff" in shop.said
    # Only the first pods are awaited: not those of a StatefulSet that an uninstall has not deleted yet.
    wait_until(lambda: not shop.there("statefulsets", "shop") and not shop.there("pods", "shop-0"))
    assert shop.deploy("pods=never") == "deployed", "a vault waits for its keys"
    assert "is not ready; its pods change when somebody deletes them (OnDelete)." in shop.said
    assert shop.deploy("pods=ready") == "deployed", "no pod is changed by that"
    assert shop.deploy("pods=ready") == "unchanged"


def objects_that_an_uninstall_has_not_deleted_yet(shop: Shop) -> None:
    """Helm would take one for its own, and then it would go."""
    shop.chart(settings=SETTINGS % ", finalizers: [example.org/slow]")
    assert shop.deploy() == "deployed"
    shop.by_hand("uninstall", "shop")
    shop.chart(settings=SETTINGS % "")
    told = shop.fails(timeout=1.0)
    assert told.startswith("ConfigMap settings: still being deleted") and "get configmap -o yaml" in told, told
    shop.lines.clear()
    with ThreadPoolExecutor(1) as beside:
        done = beside.submit(_finish, shop, "Waiting until ConfigMap settings, which an uninstall deletes, is gone.")
        assert shop.deploy() == "deployed"
        done.result()
    assert "deletionTimestamp" not in shop.get("configmaps", "settings")["metadata"]


def _finish(shop: Shop, after: str = "") -> None:
    """What its finalizer waits for, once the deploy has said a line."""
    wait_until(lambda: not after or after in shop.lines)
    place = shop.client.path("configmaps", shop.namespace, "settings")
    shop.client.ask("PATCH", place, {"metadata": {"finalizers": None}}, "application/merge-patch+json")


def a_dismissal_that_is_held_up(shop: Shop) -> None:
    """Helm forgets the release, and the next dismissal would find nothing to do."""
    shop.chart(settings=SETTINGS % ", finalizers: [example.org/slow]")
    assert shop.deploy() == "deployed"
    for _ in range(2):
        with pytest.raises(DeployFailed, match=r"was not gone within 1 s .*Still there: ConfigMap settings\."):
            shop.dismiss(timeout=1.0)
    _finish(shop)
    assert shop.dismiss().status == "uninstalled"
    assert shop.statuses == [] and shop.dismiss().status == "not deployed"


def a_release_of_which_only_the_history_is_left(shop: Shop) -> None:
    shop.chart(app=workload("Deployment"))
    assert [shop.deploy(), shop.deploy("tag=2")] == ["deployed", "deployed"]
    shop.by_hand("uninstall", "shop", "--keep-history")
    assert "It was a first installation and has been uninstalled." in shop.fails("pods=crash")
    assert not shop.there("deployments", "shop")
    assert shop.deploy() == "deployed"


def a_kind_that_the_cluster_has_lost(shop: Shop) -> None:
    group = f"{shop.namespace}.example.org"
    place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "pots", "singular": "pot", "kind": "Pot"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    shop.client.ask("POST", place, {
        "metadata": {"name": f"pots.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    })  # fmt: skip
    wait_until(lambda: any(one["name"] == group for one in shop.client.ask("GET", "/apis")["groups"]))
    shop.chart(pot=f"apiVersion: {group}/v1\nkind: Pot\nmetadata: {{name: p}}\n", settings=SETTINGS % "")
    assert shop.deploy() == "deployed"
    shop.client.ask("DELETE", f"{place}/pots.{group}")
    wait_until(lambda: all(one["name"] != group for one in shop.client.ask("GET", "/apis")["groups"]))
    (shop.folder / "templates/pot.yaml").unlink()
    told = shop.fails()
    assert f"has a Pot of {group}/v1, a kind that the cluster has no more" in told and "helm mapkubeapis" in told, (
        told
    )
    with pytest.raises(DeployFailed, match="a kind that the cluster has no more"):
        shop.dismiss()


def a_volume_that_nobody_provides(shop: Shop) -> None:
    shop.chart(app=workload("Deployment"), data=CLAIM)
    told = shop.fails(timeout=20.0)
    assert "PersistentVolumeClaim data has no volume yet (Pending)." in told, told


def an_account_that_may_only_change_what_the_chart_has(shop: Shop) -> None:
    """It may not make the namespace, nor see kinds of workloads that the chart has none of."""
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets", "pods", "pods/log"], "verbs": ["*"]},
    ]
    subject = {"kind": "Group", "name": "nobodies", "apiGroup": "rbac.authorization.k8s.io"}
    shop.create("roles", {"metadata": {"name": "ci"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ci"}
    shop.create("rolebindings", {"metadata": {"name": "ci"}, "roleRef": role, "subjects": [subject]})
    kubeconfig = str(nobody(Path(shop.kubeconfig)))
    shop.helm = Helm(shop.helm.path, shop.helm.version, {**shop.helm.environ, "KUBECONFIG": kubeconfig})
    shop.chart(app=workload("Deployment"))
    assert shop.deploy() == "deployed"
    assert "Deployment shop: 1 of 1 ready" in shop.lines
    assert "CrashLoopBackOff" in shop.fails("pods=crash")
    assert "  | panic: no database" in shop.lines, "the log is shown although events are forbidden"


BOTH: list[Case] = [
    a_dismissal_that_is_held_up, a_kind_that_the_cluster_has_lost, a_release_of_which_only_the_history_is_left,
    an_account_that_may_only_change_what_the_chart_has,
]  # fmt: skip
EITHER: list[Case] = [
    pods_that_somebody_changes_by_hand, objects_that_an_uninstall_has_not_deleted_yet, a_volume_that_nobody_provides,
]  # fmt: skip
RUNS = with_helms(BOTH, EITHER)


@pytest.mark.parametrize(("case", "helm"), [(case.__name__, name) for case, name in RUNS])
def test_a_deploy_to_a_cluster_with(running: Running, case: str, helm: str) -> None:
    running[case, helm].result(1200)
