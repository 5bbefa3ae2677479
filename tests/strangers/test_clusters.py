"""What a chart of somebody else and a cluster with a history do to a deploy: each is installed, or told apart.

All cases run at once, each with both helms, in namespaces of their own: most of their time is waiting."""

from __future__ import annotations

import base64
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lineal.deploy.helm import manifests
from lineal.deploy.left_behind import LeftBehind
from lineal.errors import DeployFailed
from tests.cluster.client import Refused
from tests.cluster.controller import BEHAVIOUR
from tests.cluster.fixtures import APP, SECRET
from tests.strangers.shop import Case, Running, Shop, wait_until, with_helms

pytestmark = pytest.mark.server
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %(word)ss.%(group)s}
spec:
  group: %(group)s
  scope: Namespaced
  names: {plural: %(word)ss, singular: %(word)s, kind: %(kind)s}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {%(fields)s}}}}}
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings%s}\ndata: {a: b}\n"
HOOK = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: hook-succeeded}
spec:
  template:
    metadata: {annotations: {test/pods: {{ .Values.hook | default "ready" }}}}
    spec: {restartPolicy: Never, containers: [{name: m, image: x}]}
"""
DATABASE = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {test/pods: {{ .Values.pods | default "ready" }}}}
    spec: {containers: [{name: app, image: x}]}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def define(shop: Shop, kind: str, fields: str = "color: {type: string}") -> str:
    """A definition in crds/; the API version of its objects."""
    group = f"{shop.namespace}.example.org"
    (shop.folder / "crds").mkdir(parents=True, exist_ok=True)
    text = DEFINITION % {"word": kind.lower(), "kind": kind, "group": group, "fields": fields}
    (shop.folder / "crds" / f"{kind.lower()}.yaml").write_text(text)
    return f"{group}/v1"


def kinds_that_the_chart_itself_defines(shop: Shop) -> None:
    pot = f"apiVersion: {define(shop, 'Teapot')}\nkind: Teapot\nmetadata: {{name: t}}\nspec: {{color: red}}\n"
    shop.chart(pot=pot, app=APP)
    assert {(one.action, one.kind) for one in shop.changes()[0]} == {("create", "Deployment"), ("create", "Teapot")}
    assert shop.deploy() == "deployed"
    assert shop.deploy() == "unchanged" and "differs" not in shop.said
    define(shop, "Teapot", "color: {type: string}, size: {type: integer}")
    assert shop.deploy() == "unchanged"
    assert "warning: chart/crds/teapot.yaml differs from the definition teapots." in shop.said
    assert "run `kubectl apply --server-side -f chart/crds/teapot.yaml`" in shop.said
    shop.chart(cup=f"apiVersion: {define(shop, 'Teacup')}\nkind: Teacup\nmetadata: {{name: t}}\n")
    told = shop.fails()
    assert "knows no Teacup" in told and "Helm installs crds/ with the first installation only" in told


def fields_that_cannot_be_changed(shop: Shop) -> None:
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: seed}\nspec: {template: {spec: {restartPolicy: Never, " \
          "containers: [{name: m, image: 'x:{{ .Values.tag }}', env: [{name: P, value: hunter2}]}]}}}\n"  # fmt: skip
    shop.chart(app=APP, job=job)
    assert shop.deploy("tag=1") == "deployed"
    told = shop.fails("tag=2")
    assert told.startswith("chart/templates/job.yaml:")
    assert "spec.template of Job seed: Invalid value: …: field is immutable." in told
    assert "Make it a hook (`helm.sh/hook: pre-upgrade`)" in told and "as in revision 1 again" in told
    assert "TerminationMessagePath" not in told and len(max(shop.lines, key=len)) < 700
    shop.chart(
        role="apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r}\n"
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: 'r{{ .Values.role }}'}\n"
    )
    assert shop.deploy("tag=1", "role=1") == "deployed"
    told = shop.fails("tag=1", "role=2")
    assert "roleRef of RoleBinding r" in told and f"kubectl -n {shop.namespace} delete rolebinding r" in told


def objects_that_are_gone_or_not_ready(shop: Shop) -> None:
    shop.chart(app=APP, settings=CONFIG % "")
    assert shop.deploy() == "deployed"
    shop.client.delete("configmaps", shop.namespace, "settings")
    assert [(one.action, one.kind) for one in shop.changes()[0]] == [("create", "ConfigMap")]
    assert shop.deploy() == "deployed"
    assert "but ConfigMap settings is not there: it is deployed again" in shop.said
    assert shop.deploy() == "unchanged"
    place = shop.client.path("deployments", shop.namespace, "shop")
    by_hand = {"spec": {"template": {"metadata": {"annotations": {BEHAVIOUR: "never"}}}}}
    shop.client.ask("PATCH", place, by_hand, "application/merge-patch+json")
    wait_until(lambda: not shop.client.ask("GET", place)["status"].get("readyReplicas"))
    assert shop.deploy() == "deployed" and "but Deployment shop: 0 of 2 ready" in shop.said


def hooks_for_tests_that_are_new_each_time(shop: Shop) -> None:
    test = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 't-{{ randAlphaNum 5 | lower }}', annotations: {helm.sh/hook: "
        "test}}\nspec: {containers: [{name: a, image: x}]}\n"
    )
    shop.chart(app=APP, test=test)
    assert shop.deploy() == "deployed"
    assert shop.deploy() == "unchanged" and shop.changes()[0] == []


def notes_with_a_password(shop: Shop) -> None:
    shop.chart(app=APP, secret=SECRET)
    (shop.folder / "templates" / "NOTES.txt").write_text(
        "Welcome.\nLog in with {{ .Values.password }}, or {{ .Values.password | b64enc }}.\n"
    )
    word = "correct-horse-battery"
    assert shop.deploy(f"password={word}") == "deployed"
    assert "Welcome." in shop.lines and "Log in with ***, or ***." in shop.lines
    assert word not in shop.said and base64.b64encode(word.encode()).decode() not in shop.said


def a_diff_while_a_deploy_goes_on(shop: Shop) -> None:
    shop.chart(app=APP)
    assert shop.deploy("text=one") == "deployed"
    kill = shop.killed("pods=never", until=lambda: shop.there("secrets", "sh.helm.release.v1.shop.v2"))
    try:
        found, warned = shop.changes("text=two")
    finally:
        kill()
    assert "is going on, or was cut off; this compares with revision 1." in warned
    (change,) = found
    assert [line for line in change.diff if line[0] in "+-"] == ["-          value: one", "+          value: two"]
    assert shop.deploy("text=two") == "deployed"


def a_hook_that_a_killed_run_left(shop: Shop) -> None:
    shop.chart(app=APP, hook=HOOK)
    assert shop.deploy() == "deployed"
    shop.killed("hook=never", "text=two", until=lambda: shop.there("jobs", "migrate"))()
    assert shop.deploy("text=three") == "deployed"
    assert "Hooks that it left there have been deleted: Job migrate." in shop.said


def a_namespace_that_ends(shop: Shop) -> None:
    shop.chart(app=APP)
    shop.create("configmaps", {"metadata": {"name": "x"}})
    shop.client.delete("namespaces", "", shop.namespace)
    assert "is being deleted" in shop.fails(timeout=1.0)

    def end() -> None:
        time.sleep(2)
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": shop.namespace},
            "spec": {"finalizers": []},
        }
        shop.client.ask("PUT", f"/api/v1/namespaces/{shop.namespace}/finalize", body)

    with ThreadPoolExecutor(1) as beside:
        ended = beside.submit(end)
        assert shop.deploy() == "deployed"
        ended.result()
    assert f"Waiting until the namespace {shop.namespace}, which is being deleted, is gone." in shop.lines


def objects_of_somebody_else(shop: Shop) -> None:
    shop.chart(app=APP, settings=CONFIG % "")
    shop.create("configmaps", {"metadata": {"name": "settings"}})
    told = shop.fails()
    assert f"ConfigMap settings in namespace {shop.namespace} is there already, and belongs to no release." in told
    assert "`--take-ownership`" in told
    assert shop.deploy(take_ownership=True) == "deployed"


def volumes_that_outlive_an_installation(shop: Shop) -> None:
    shop.chart(db=DATABASE, secret=SECRET)
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    shop.create("persistentvolumeclaims", {"metadata": {"name": "data-db-0"}, "spec": claim})
    told = shop.fails("pods=crash")
    assert "Its volumes stay: PersistentVolumeClaim data-db-0. A password that the chart has made is gone" in told
    assert shop.deploy() == "deployed"
    assert "warning: PersistentVolumeClaim data-db-0 is there already, from an earlier installation" in shop.said
    assert shop.deploy() == "unchanged" and "PersistentVolumeClaim" not in shop.said
    found = manifests.deployed(shop.helm, shop.release())
    assert any("Its volumes stay" in one for one in LeftBehind.of(shop.helm, shop.release(), found).sentences())


def objects_that_a_chart_wants_kept(shop: Shop) -> None:
    shop.chart(settings=CONFIG % ", annotations: {helm.sh/resource-policy: keep}")
    assert shop.deploy() == "deployed"
    left = LeftBehind.of(shop.helm, shop.release(), manifests.deployed(shop.helm, shop.release()))
    assert list(left.sentences()) == ["Kept, as the chart says: ConfigMap settings."]
    shop.helm.run(["uninstall", "shop", "-n", shop.namespace])
    with pytest.raises(DeployFailed, match=r"wants kept: ConfigMap settings\. .*--delete-kept"):
        LeftBehind.of(shop.helm, shop.release(), None).check()


def workloads_in_another_namespace(shop: Shop) -> None:
    other = f"{shop.namespace}-agents"
    shop.client.create("namespaces", "", {"metadata": {"name": other}})
    shop.chart(app=APP, agent=APP.replace("name: {{ .Release.Name }}\n", f"name: agent\n  namespace: {other}\n", 1))
    assert shop.deploy() == "deployed"
    assert f"Deployment agent in namespace {other}: 2 of 2 ready" in shop.lines
    shop.chart(app=APP.replace(".Values.pods", ".Values.no"))
    told = shop.fails("pods=crash")
    assert f"Deployment agent in namespace {other} will not become ready: pod agent-" in told, told
    assert "  | panic: no database" in shop.lines


def a_release_that_is_too_large_for_helm(shop: Shop) -> None:
    shop.chart(app=APP, big="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\n"
               'binaryData: {x: {{ .Files.Get "big.b64" | quote }}}\n')  # fmt: skip
    (shop.folder / "big.b64").write_bytes(base64.b64encode(os.urandom(600_000)))
    told = shop.fails()
    assert "in a Secret of at most 1 MiB" in told and "chart/big.b64 (800 kB)" in told and ".helmignore" in told, told


def a_webhook_that_does_not_answer(shop: Shop) -> None:
    shop.chart(app=APP, settings=CONFIG.replace("a: b", "a: {{ .Values.a | quote }}") % "")
    assert shop.deploy("a=1") == "deployed"
    service = {"name": "nobody", "namespace": shop.namespace, "path": "/"}
    shop.client.ask("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", {
        "metadata": {"name": shop.namespace},
        "webhooks": [{
            "name": "h.example.org", "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 1,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": shop.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                       "resources": ["configmaps"]}],
            "clientConfig": {"service": service},
        }],
    })  # fmt: skip
    wait_until(lambda: not _updates(shop))
    told = shop.fails("a=2")
    assert f"The webhook h.example.org (the Service nobody in namespace {shop.namespace}) does not answer" in told
    assert "The cluster itself is up." in told


def _updates(shop: Shop) -> bool:
    """Whether the API server, which takes a moment to learn of a webhook, still lets a config map be changed."""
    try:
        shop.client.ask("PATCH", shop.client.path("configmaps", shop.namespace, "settings"), {"data": {"b": "c"}},
                        "application/merge-patch+json")  # fmt: skip
    except Refused:
        return False
    return True


BOTH: list[Case] = [
    kinds_that_the_chart_itself_defines, fields_that_cannot_be_changed, notes_with_a_password,
    a_diff_while_a_deploy_goes_on, a_hook_that_a_killed_run_left, objects_of_somebody_else,
    a_webhook_that_does_not_answer,
]  # fmt: skip
EITHER: list[Case] = [
    objects_that_are_gone_or_not_ready, hooks_for_tests_that_are_new_each_time, a_namespace_that_ends,
    volumes_that_outlive_an_installation, objects_that_a_chart_wants_kept, workloads_in_another_namespace,
    a_release_that_is_too_large_for_helm,
]  # fmt: skip
RUNS = with_helms(BOTH, EITHER)


@pytest.mark.parametrize(("case", "helm"), [(case.__name__, name) for case, name in RUNS])
def test_a_deploy_to_a_cluster_with(running: Running, case: str, helm: str) -> None:
    running[case, helm].result(1200)
