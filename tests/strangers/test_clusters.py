"""What a chart of somebody else and a cluster with a history do to a deploy: each is installed, or told apart.

All cases run at once, each with both helms, in namespaces of their own: most of their time is waiting."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lineal.deploy.diff import preview
from lineal.deploy.diff.diff import between
from lineal.deploy.helm import manifests
from lineal.deploy.helm.client import Helm
from lineal.deploy.left_behind import LeftBehind
from lineal.deploy.release import Chart, Release
from lineal.deploy.upgrade import Upgrade
from lineal.deploy.watch.monitor import PollPolicy
from lineal.errors import DeployFailed, LinealError
from lineal.lock import LockTimeouts
from lineal.progress import Notes
from lineal.report.model import ChangeReport
from tests.cluster.client import Client, Refused
from tests.cluster.controller import BEHAVIOUR
from tests.cluster.fixtures import APP, SECRET, Cluster
from tests.tools import helm as binaries
from tests.unit.deploy.conftest import environment

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


@dataclass
class Shop:
    """A release of a small chart."""

    helm: Helm
    folder: Path
    client: Client
    namespace: str = field(default_factory=lambda: f"others-{secrets.token_hex(4)}")
    lines: list[str] = field(default_factory=list)

    def chart(self, **templates: str) -> None:
        (self.folder / "templates").mkdir(parents=True, exist_ok=True)
        (self.folder / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 0.1.0\n")
        for name, text in templates.items():
            (self.folder / "templates" / f"{name}.yaml").write_text(text)

    def define(self, kind: str, fields: str = "color: {type: string}") -> str:
        """A definition in crds/; the API version of its objects."""
        group = f"{self.namespace}.example.org"
        (self.folder / "crds").mkdir(parents=True, exist_ok=True)
        text = DEFINITION % {"word": kind.lower(), "kind": kind, "group": group, "fields": fields}
        (self.folder / "crds" / f"{kind.lower()}.yaml").write_text(text)
        return f"{group}/v1"

    def release(self, *sets: str, timeout: float = 30.0, **more: Any) -> Release:
        return Release(name="shop", namespace=self.namespace, chart=Chart.directory(self.folder, "chart"), sets=sets,
                       timeout=timeout, **more)  # fmt: skip

    def deploy(self, *sets: str, **more: Any) -> str:
        """The status that is reported."""
        self.lines.clear()
        notes = Notes(self.lines.append, lambda line: self.lines.append(f"warning: {line}"))
        timeouts = LockTimeouts(lease=3.0, wait=120.0, poll=0.2, notice=0.2)
        upgrade = Upgrade(self.helm, self.release(*sets, **more), notes, "tester", PollPolicy(0.3, 1.0), timeouts)
        return upgrade.run(True).status

    def fails(self, *sets: str, **more: Any) -> str:
        with pytest.raises(LinealError) as caught:
            self.deploy(*sets, **more)
        assert isinstance(caught.value, DeployFailed), caught.value
        return str(caught.value)

    def changes(self, *sets: str) -> tuple[list[ChangeReport], str]:
        """What `plan --diff` shows, and what it warns of."""
        warned: list[str] = []
        before, wanted = preview.compared(self.helm, self.release(*sets), warned.append)
        return between(before, wanted, lambda line: line), "\n".join(warned)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def create(self, kind: str, body: dict[str, Any]) -> None:
        with suppress(Refused):
            self.client.create("namespaces", "", {"metadata": {"name": self.namespace}})
        self.client.create(kind, self.namespace, body)

    def killed(self, *sets: str, until: Callable[[], bool]) -> Callable[[], None]:
        """A helm of a run of ours that is at work on the release; what kills it."""
        command = [self.helm.path, "upgrade", "--install", "shop", str(self.folder), "-n", self.namespace, "--wait",
                   "--labels", f"lineal-run={secrets.token_hex(4)}"]  # fmt: skip
        flags = [flag for one in sets for flag in ("--set", one)]
        process = subprocess.Popen([*command, *flags], env=dict(self.helm.environ), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        wait_until(until)

        def kill() -> None:
            process.kill()
            process.wait()

        return kill

    def there(self, kind: str, name: str) -> bool:
        try:
            return bool(self.client.get(kind, self.namespace, name))
        except Refused:
            return False


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


Case = Callable[[Shop], None]


def kinds_that_the_chart_itself_defines(shop: Shop) -> None:
    pot = f"apiVersion: {shop.define('Teapot')}\nkind: Teapot\nmetadata: {{name: t}}\nspec: {{color: red}}\n"
    shop.chart(pot=pot, app=APP)
    assert {(one.action, one.kind) for one in shop.changes()[0]} == {("create", "Deployment"), ("create", "Teapot")}
    assert shop.deploy() == "deployed"
    assert shop.deploy() == "unchanged" and "differs" not in shop.said
    shop.define("Teapot", "color: {type: string}, size: {type: integer}")
    assert shop.deploy() == "unchanged"
    assert "warning: chart/crds/teapot.yaml differs from the definition teapots." in shop.said
    assert "run `kubectl apply --server-side -f chart/crds/teapot.yaml`" in shop.said
    shop.chart(cup=f"apiVersion: {shop.define('Teacup')}\nkind: Teacup\nmetadata: {{name: t}}\n")
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
"""What helm itself says or does decides these."""
EITHER: list[Case] = [
    objects_that_are_gone_or_not_ready, hooks_for_tests_that_are_new_each_time, a_namespace_that_ends,
    volumes_that_outlive_an_installation, objects_that_a_chart_wants_kept, workloads_in_another_namespace,
    a_release_that_is_too_large_for_helm,
]  # fmt: skip
HELMS = ("helm3", "helm4")
RUNS = [(case, name) for case in BOTH for name in HELMS] + [
    (case, HELMS[number % 2]) for number, case in enumerate(EITHER)
]


@pytest.fixture(scope="module")
def ran(
    kubernetes: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[None]]]:
    binaries.fetch(binaries.directory())
    with ThreadPoolExecutor(6) as pool:
        started: dict[tuple[str, str], Future[None]] = {}
        for case, name in RUNS:
            home = tmp_path_factory.mktemp(name)
            more = {"KUBECONFIG": str(kubernetes.kubeconfig)}
            helm = Helm.find(environment(home / "home", binaries.directory() / name, more))
            shop = Shop(helm, home / "chart", Client(kubernetes.kubeconfig))
            started[case.__name__, name] = pool.submit(case, shop)
        yield started


@pytest.mark.parametrize(("case", "helm"), [(case.__name__, name) for case, name in RUNS])
def test_a_deploy_to_a_cluster_with(
    kubernetes: Cluster, ran: dict[tuple[str, str], Future[None]], case: str, helm: str
) -> None:
    ran[case, helm].result(240)
