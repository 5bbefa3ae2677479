"""Releases in a real API server: what a deploy does there, what it says, and what it leaves when it is cut off."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.deploy.helm.client import Helm
from lineal.deploy.release import Chart, Release
from lineal.deploy.upgrade import Upgrade
from lineal.deploy.watch.monitor import PollPolicy
from lineal.errors import DeployFailed, LinealError, Unreachable
from lineal.lock import LockTimeouts
from lineal.progress import Notes
from tests.cluster.client import Refused
from tests.cluster.fixtures import Cluster
from tests.cluster.parts import nobody
from tests.helms import helm4_sooner, sooner_after

WORKER = Path(__file__).with_name("worker.py")
ROOT = Path(__file__).parents[3]


class Deploys:
    """Deploys the small chart to one namespace, one revision after the other."""

    def __init__(self, helm: Helm, chart: Path, namespace: str) -> None:
        self.helm, self.chart, self.namespace = helm, chart, namespace
        self.lines: list[str] = []
        self.last: Upgrade | None = None

    def __call__(self, *sets: str, skip_unchanged: bool = True, timeout: float = 300.0) -> str:
        """The status that is reported."""
        release = Release(name="shop", namespace=self.namespace, chart=Chart.directory(self.chart, "deploy/chart"),
                          sets=sets, timeout=timeout)  # fmt: skip
        self.lines.clear()
        self.last = Upgrade(self.helm, release, self.notes, "tester", PollPolicy(0.5, 1.0))
        return self.last.run(skip_unchanged).status

    def fails(self, *sets: str, timeout: float = 300.0, error: type[LinealError] = DeployFailed) -> str:
        with pytest.raises(error) as caught:
            self(*sets, timeout=timeout)
        return str(caught.value)

    @property
    def notes(self) -> Notes:
        return Notes(self.lines.append, self.lines.append)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    @property
    def report(self) -> Any:
        assert self.last is not None
        return self.last.report


@pytest.fixture
def deploys(helm: Helm, kubernetes: Cluster, small_chart: Path, namespace: str) -> Deploys:
    environ = {**helm.environ, "KUBECONFIG": str(kubernetes.kubeconfig)}
    mine = Helm(helm.path, helm.version, environ)
    return Deploys(mine, small_chart, namespace)


def test_a_release_is_installed_upgraded_and_left_alone(deploys: Deploys, kubernetes: Cluster) -> None:
    where = deploys.namespace
    assert deploys("text=one") == "deployed"
    assert "Deployment shop: 2 of 2 ready" in deploys.lines
    assert deploys("text=two") == "deployed"
    assert kubernetes.text(where, "shop") == "two"
    assert deploys.report.told == ["It was upgraded as revision 2."]
    before = kubernetes.versions(where)
    assert deploys("text=two") == "unchanged"
    assert kubernetes.versions(where) == before
    assert f"Nothing changed in release shop in namespace {where} since revision 2" in deploys.said
    assert deploys("text=two", skip_unchanged=False) == "deployed"
    assert kubernetes.releases(where) == {1: "superseded", 2: "superseded", 3: "deployed"}


def test_a_changed_hook_or_secret_is_a_change(deploys: Deploys, kubernetes: Cluster) -> None:
    deploys("text=one")
    assert deploys("text=one", "password=other") == "deployed"
    hook = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: h, annotations: {helm.sh/hook: post-upgrade}}\n"
    (deploys.chart / "templates" / "hook.yaml").write_text(hook)
    assert deploys("text=one", "password=other") == "deployed"
    assert deploys("text=one", "password=other") == "unchanged"


STUCK = [
    ("unpulled", r"pod shop-\w+-0: ImagePullBackOff: .*not found\.", "imagePullSecrets"),
    ("crash", r"CrashLoopBackOff: its container app ended with 2, restarted 4 times\.", "printed last"),
    ("config", r'CreateContainerConfigError: configmap "settings" not found\.', "config maps and secrets"),
]


@pytest.mark.parametrize(("helm", "pods", "why", "remedy"), sooner_after(1, STUCK), indirect=["helm"])
def test_a_workload_that_cannot_start_is_rolled_back_at_once(
    deploys: Deploys, kubernetes: Cluster, pods: str, why: str, remedy: str
) -> None:
    deploys("text=one")
    told = deploys.fails("text=two", f"pods={pods}", timeout=300.0)
    assert "Deployment shop in namespace " in told
    assert re.search(why, told), told
    assert "It was rolled back: it is as in revision 1 again." in told
    assert remedy in told
    assert kubernetes.text(deploys.namespace, "shop") == "one"
    assert kubernetes.releases(deploys.namespace) == {1: "superseded", 2: "failed", 3: "deployed"}
    assert (deploys.report.status, deploys.report.revision) == ("rolled back", 3)
    assert "  | panic: no database" in deploys.lines
    assert "  | password is ***" in deploys.lines  # what the chart's own Secret has
    assert "hunter2" not in deploys.said + str(deploys.report)


def test_a_first_installation_that_fails_is_removed(deploys: Deploys, kubernetes: Cluster) -> None:
    told = deploys.fails("pods=unpulled", timeout=300.0)
    assert "It was a first installation and has been uninstalled." in told
    assert (kubernetes.releases(deploys.namespace), deploys.report.status) == ({}, "uninstalled")
    assert deploys("pods=ready") == "deployed"


def test_what_is_not_ready_in_time_is_named(deploys: Deploys, kubernetes: Cluster) -> None:
    deploys("text=one")
    told = deploys.fails("pods=never", timeout=20.0)
    assert "was not ready within 20 s" in told
    assert "Deployment shop: 0 of 2 ready, pod shop-" in told, deploys.said
    assert "its container app runs and is not ready" in told
    assert "  | panic: no database" in deploys.lines
    assert kubernetes.releases(deploys.namespace)[3] == "deployed"


@helm4_sooner
def test_a_pod_without_a_node_may_get_one_and_is_waited_for(deploys: Deploys) -> None:
    told = deploys.fails("pods=unscheduled", timeout=20.0)
    assert "was not ready within 20 s" in told
    assert "Unschedulable: 0/1 nodes are available" in told, deploys.said


@helm4_sooner
def test_a_used_up_quota(deploys: Deploys, kubernetes: Cluster) -> None:
    client, where = kubernetes.client, deploys.namespace
    client.create("namespaces", "", {"metadata": {"name": where}})
    client.create("resourcequotas", where, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    client.status("resourcequotas", where, "q", {"hard": {"pods": "1"}, "used": {"pods": "0"}})
    told = deploys.fails(timeout=300.0)
    assert "exceeded quota: q, requested: pods=1" in told
    assert "Raise the quota" in told


def test_a_rule_of_the_cluster(deploys: Deploys, kubernetes: Cluster) -> None:
    client, where = kubernetes.client, deploys.namespace
    match = {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
                                "resources": ["deployments"]}]}  # fmt: skip
    validation = {"expression": "object.spec.replicas < 2", "message": "one replica is enough"}
    client.create("namespaces", "", {"metadata": {"name": where, "labels": {"strict": where}}})
    client.create("validatingadmissionpolicies", "", {
        "metadata": {"name": where}, "spec": {"matchConstraints": match, "validations": [validation]},
    })  # fmt: skip
    client.create("validatingadmissionpolicybindings", "", {
        "metadata": {"name": where},
        "spec": {"policyName": where, "validationActions": ["Deny"],
                 "matchResources": {"namespaceSelector": {"matchLabels": {"strict": where}}}},
    })  # fmt: skip
    deadline = time.monotonic() + 300
    # The API server takes a moment to learn of a policy.
    while time.monotonic() < deadline:
        probe = {"metadata": {"name": "probe"}, "spec": _spec()}
        try:
            client.create("deployments", where, probe)
            client.delete("deployments", where, "probe")
            time.sleep(0.3)
        except Refused:
            break
    told = deploys.fails(timeout=300.0)
    assert told.startswith(
        "deploy/chart/templates/app.yaml:2: A rule of the cluster refuses something of release shop"
    )
    assert "one replica is enough" in told


def _spec() -> dict[str, Any]:
    labels = {"app": "probe"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    return {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}


INVALID = [
    ("  replicas: 2", "  replicas: many", 6, "The cluster does not take a manifest of release shop"),
    ("  name: {{ .Release.Name }}\nspec", "  name: Not_Valid\nspec", 2, "a lowercase RFC 1123 subdomain"),
    ("apiVersion: apps/v1\nkind: Deployment", "apiVersion: example.com/v1\nkind: Widget", 2,
     "The cluster knows no Widget of example.com/v1: its definition (CRD) is not installed."),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "line", "why"), INVALID)
def test_a_manifest_that_the_cluster_does_not_take_is_named_with_its_template(
    deploys: Deploys, good: str, bad: str, line: int, why: str
) -> None:
    file = deploys.chart / "templates" / "app.yaml"
    assert good in file.read_text()
    file.write_text(file.read_text().replace(good, bad, 1))
    told = deploys.fails()
    assert told.startswith(f"deploy/chart/templates/app.yaml:{line}: ")
    assert why in told


def test_an_immutable_field(deploys: Deploys) -> None:
    deploys("text=one")
    told = deploys.fails("app=other")
    assert told.startswith("deploy/chart/templates/app.yaml:7: ")
    assert "changes a field that cannot be changed" in told
    assert "It was rolled back: it is as in revision 1 again." in told


def test_a_namespace_that_goes_away(deploys: Deploys, kubernetes: Cluster) -> None:
    kubernetes.client.create("namespaces", "", {"metadata": {"name": deploys.namespace}})
    kubernetes.client.delete("namespaces", "", deploys.namespace)
    assert deploys.fails(timeout=1.0).startswith(f"The namespace {deploys.namespace} is being deleted")


def test_no_permission(deploys: Deploys, kubernetes: Cluster) -> None:
    environ = {**deploys.helm.environ, "KUBECONFIG": str(nobody(kubernetes.kubeconfig))}
    deploys.helm = Helm(deploys.helm.path, deploys.helm.version, environ)
    told = deploys.fails(error=Unreachable)
    assert "refused a request for release shop" in told
    assert 'cannot list resource "secrets"' in told
    assert "this job may not create Leases" in deploys.said


def test_without_lightkube_helm_waits_alone(deploys: Deploys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightkube.config", None)
    assert deploys("text=one") == "deployed"
    assert 'pip install "lightkube<2"' in deploys.said
    assert deploys("text=one") == "unchanged"


HOOK = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {test/pods: crash}}
    spec: {restartPolicy: Never, containers: [{name: app, image: registry.example.com/app}]}
"""


def test_a_hook_that_fails_is_named_with_what_it_printed(deploys: Deploys) -> None:
    (deploys.chart / "templates" / "hook.yaml").write_text(HOOK)
    told = deploys.fails(timeout=300.0)
    assert "Job migrate" in told and "BackoffLimitExceeded" in told, told
    assert "  | panic: no database" in deploys.lines
    assert deploys.report.log[-1] == "panic: no database"


# --- beside others --------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(deploys: Deploys) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Somebody who uses helm by hand."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*args: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([deploys.helm.path, *args, "-n", deploys.namespace], env=deploys.helm.environ,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


Operator = Callable[..., "subprocess.Popen[bytes]"]


def until(kubernetes: Cluster, namespace: str, status: str) -> dict[int, str]:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = kubernetes.releases(namespace)
        if found and found[max(found)] == status:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no revision became {status}")


def test_the_upgrade_of_somebody_else_is_not_undone(
    deploys: Deploys, kubernetes: Cluster, operator: Operator
) -> None:
    """Helm copies our label to the revision that it makes for somebody else."""
    deploys("text=one")
    operator("upgrade", "shop", str(deploys.chart), "--wait", "--set", "pods=never")
    before = until(kubernetes, deploys.namespace, "pending-upgrade")
    assert "Another helm is changing release shop" in deploys.fails("text=two")
    assert kubernetes.releases(deploys.namespace) == before
    assert "killed" not in deploys.said


def test_the_rollback_of_somebody_else_is_not_undone(
    deploys: Deploys, kubernetes: Cluster, operator: Operator
) -> None:
    assert operator("upgrade", "--install", "--create-namespace", "shop", str(deploys.chart),
                    "--set", "pods=never").wait(300) == 0  # fmt: skip
    deploys("text=two")
    operator("rollback", "shop", "1", "--wait")
    before = until(kubernetes, deploys.namespace, "pending-rollback")
    assert "Another helm is changing release shop" in deploys.fails("text=three")
    assert kubernetes.releases(deploys.namespace) == before


def test_an_uninstall_that_somebody_began_is_not_undone(
    deploys: Deploys, kubernetes: Cluster, operator: Operator
) -> None:
    deploys("text=one")
    hook = HOOK.replace("pre-install,pre-upgrade", "pre-delete").replace("crash", "never")
    (deploys.chart / "templates" / "hook.yaml").write_text(hook)
    deploys("text=two")
    process = operator("uninstall", "shop")
    before = until(kubernetes, deploys.namespace, "uninstalling")
    process.kill()
    told = deploys.fails("text=three")
    assert "helm uninstall shop" in told, told
    assert kubernetes.releases(deploys.namespace) == before


@helm4_sooner
def test_who_lost_the_lease_undoes_nothing(deploys: Deploys, kubernetes: Cluster) -> None:
    deploys("text=one")
    client, lease = kubernetes.client, "lineal-release-shop"

    def steal() -> None:
        until(kubernetes, deploys.namespace, "pending-upgrade")
        client.delete("leases", deploys.namespace, lease)

    thief = threading.Thread(target=steal)
    thief.start()
    release = Release(name="shop", namespace=deploys.namespace, chart=Chart.directory(deploys.chart, "deploy/chart"),
                      sets=("pods=never",), timeout=60.0)  # fmt: skip
    upgrade = Upgrade(deploys.helm, release, deploys.notes, "tester", PollPolicy(0.2, 30.0), LockTimeouts(lease=1.0))
    with pytest.raises(DeployFailed, match=r"The Lease of release shop in namespace .* was lost"):
        upgrade.run(True)
    thief.join()
    # It is for whoever has the Lease now.
    assert kubernetes.releases(deploys.namespace) == {1: "deployed", 2: "pending-upgrade"}


# --- several, and killed ones ---------------------------------------------------------------------------------------


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(deploys: Deploys) -> Start:
    def run(*sets: str, helm: str = "") -> subprocess.Popen[str]:
        about = [helm or deploys.helm.path, deploys.helm.environ["KUBECONFIG"], str(deploys.chart), deploys.namespace]
        return subprocess.Popen([sys.executable, str(WORKER), *about, *sets], stdout=subprocess.PIPE, text=True,
                                cwd=ROOT)  # fmt: skip

    return run


@helm4_sooner
def test_several_deploys_of_a_release_go_one_after_the_other(
    start: Start, deploys: Deploys, kubernetes: Cluster
) -> None:
    running = [start(f"text=t{number}") for number in range(3)]
    told = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
    assert sorted(kubernetes.releases(deploys.namespace).values()) == ["deployed", "superseded", "superseded"]
    assert any("deploys release shop in namespace" in text for text in told)
    assert not kubernetes.client.list("leases", deploys.namespace)


def unfinished(kubernetes: Cluster, namespace: str) -> bool:
    """Only the last revision counts: helm never changes what a pending one of before is called."""
    revisions = kubernetes.releases(namespace)
    return bool(revisions) and revisions[max(revisions)].startswith("pending")


CUT_OFF = [(first, how) for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT) for first in (True, False)]


@pytest.mark.parametrize(("helm", "first", "number"), sooner_after(4, CUT_OFF), indirect=["helm"])
def test_a_deploy_that_is_cut_off_is_put_in_order(
    start: Start, deploys: Deploys, kubernetes: Cluster, number: signal.Signals, first: bool
) -> None:
    """After SIGKILL by the next one, after the others by itself."""
    if not first:
        deploys("text=one")
    process = start("text=two", "pods=never")
    while not unfinished(kubernetes, deploys.namespace):
        assert process.poll() is None
        time.sleep(0.05)
    # Anywhere in what follows: the objects, the waiting.
    time.sleep(random.random())
    process.send_signal(number)
    told = process.communicate(timeout=300)[0]
    if number is not signal.SIGKILL:
        assert not unfinished(kubernetes, deploys.namespace), told
        return
    assert unfinished(kubernetes, deploys.namespace)
    again = start("text=three")
    told = again.communicate(timeout=300)[0]
    assert again.returncode == 0, told
    assert "because it was killed. It " in told
    assert kubernetes.text(deploys.namespace, "shop") == "three"
    assert not unfinished(kubernetes, deploys.namespace)


@helm4_sooner
def test_a_signal_before_anything_is_changed_ends_the_run(
    start: Start, deploys: Deploys, kubernetes: Cluster, tmp_path: Path
) -> None:
    """GitHub sends one signal, and kills soon after."""
    deploys("text=one")
    slow, asked = tmp_path / "slow-helm", tmp_path / "asked"
    slow.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "get all" ] && touch {asked} && sleep 30\nexec {deploys.helm.path} "$@"\n'
    )
    slow.chmod(0o755)
    process = start("text=two", helm=str(slow))
    while not asked.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=300)[0]
    assert process.returncode == 130, told
    assert re.search(r"Reading release shop in .* was interrupted by SIGTERM, before anything was changed", told)
    assert kubernetes.releases(deploys.namespace) == {1: "deployed"}


@helm4_sooner
def test_helm_dies_with_the_run_that_was_killed(start: Start, deploys: Deploys, kubernetes: Cluster) -> None:
    process = start("pods=never")
    while not unfinished(kubernetes, deploys.namespace):
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300
    while _helms(deploys.namespace) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _helms(deploys.namespace)


def _helms(namespace: str) -> list[str]:
    """Processes that deploy to it, whoever started them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"upgrade" in words and namespace.encode() in words:
            found.append(file.parent.name)
    return found
