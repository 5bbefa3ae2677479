"""One chart, one cluster, either helm: a deploy ends alike, whatever somebody or something else did there meanwhile.

All cases run at once, each with both helms, in namespaces of their own: most of their time is waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lineal.errors import BadConfiguration
from tests.cluster.client import Refused
from tests.cluster.fixtures import APP
from tests.helms import HELMS
from tests.strangers.shop import Case, Running, Shop, workload
from tests.unit.deploy.test_upgrade import ROOT, WORKER

pytestmark = pytest.mark.server


def fields_that_an_autoscaler_or_kubectl_touched(shop: Shop) -> None:
    shop.chart(app=APP)
    assert shop.deploy("text=one") == "deployed"
    shop.edit("deployments", {"spec": {"replicas": 3}}, "horizontal-pod-autoscaler")
    edited = {"containers": [{"name": "app", "image": "somebody/else:1", "env": [{"name": "TEXT", "value": "x"}]}]}
    shop.edit("deployments", {"spec": {"template": {"spec": edited}}}, "kubectl-edit")
    assert shop.deploy("text=two") == "deployed"
    spec = shop.get("deployments")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], container["env"][0]["value"]) == (2, "two")


def a_strategy_that_leaves_no_room_for_what_the_api_server_filled_in(shop: Shop) -> None:
    shop.chart(app=workload("Deployment"))
    assert shop.deploy() == "deployed"
    shop.chart(app=workload("Deployment", spec="strategy: {type: Recreate}"))
    assert shop.deploy() == "deployed"
    assert shop.get("deployments")["spec"]["strategy"] == {"type": "Recreate"}


def a_crashing_stateful_set_is_mended_and_rolled_back(shop: Shop) -> None:
    shop.chart(app=workload("StatefulSet", spec="serviceName: x"))
    shop.by_hand("install", "shop", str(shop.folder), "--create-namespace", "--set", "pods=crash")
    assert shop.deploy() == "deployed"
    told = shop.fails("pods=crash")
    assert "CrashLoopBackOff" in told and "It was rolled back: it is as in revision 2 again." in told, told
    assert "  | panic: no database" in shop.lines
    assert shop.statuses == ["superseded", "superseded", "failed", "deployed"]


def a_version_that_may_be_unavailable_and_never_becomes_ready(shop: Shop) -> None:
    """To helm's own rule, none of one pod is enough."""
    shop.chart(app=workload("Deployment", spec="strategy: {rollingUpdate: {maxUnavailable: 1}}"),
               daemon=workload("DaemonSet", "agent"))  # fmt: skip
    assert shop.deploy() == "deployed"
    told = shop.fails("pods=never", timeout=15.0)
    assert "was not ready within 15 s" in told and "0 of 1 ready" in told, told
    assert "It was rolled back: it is as in revision 1 again." in told
    assert shop.statuses[-1] == "deployed"


def a_job_that_fails(shop: Shop) -> None:
    shop.chart(app=workload("Deployment"))
    assert shop.deploy() == "deployed"
    shop.chart(job=workload("Job", "migrate", "backoffLimit: 0", "crash"))
    told = shop.fails()
    assert "Job migrate" in told and "BackoffLimitExceeded" in told and "as in revision 1 again" in told, told
    with pytest.raises(Refused, match="not found"):
        shop.get("jobs", "migrate")


def a_job_that_its_ttl_deletes_and_one_that_takes_its_time(shop: Shop) -> None:
    shop.chart(app=workload("Deployment", pods="late"), seed=workload("Job", "seed"),
               slow=workload("Job", "slow", pods="never"))  # fmt: skip
    with ThreadPoolExecutor(1) as beside:
        gone = beside.submit(_time_to_live, shop, "seed")
        assert shop.deploy(patience=60.0) == "deployed"
        gone.result()
    assert any(line.startswith("Job slow: 0 of 1 ready") and "has not ended" in line for line in shop.lines)
    assert not [line for line in shop.lines if line.startswith("Job seed") and "has not ended" in line]


def _time_to_live(shop: Shop, name: str) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if shop.get("jobs", name).get("status", {}).get("succeeded"):
                shop.client.delete("jobs", shop.namespace, name)
                return
        except Refused:
            pass
        time.sleep(0.1)
    raise AssertionError(f"Job {name} never ended")


def what_crashes_once_while_it_starts(shop: Shop) -> None:
    shop.chart(app=workload("Deployment", pods="late"), db=workload("StatefulSet", "db", "serviceName: x", "late"),
               agent=workload("DaemonSet", "agent", pods="late"))  # fmt: skip
    assert shop.deploy(patience=60.0) == "deployed"


def fields_that_the_api_server_takes_over(shop: Shop) -> None:
    shop.chart(app=APP)
    if shop.helm.major == 3:
        with pytest.raises(BadConfiguration, match=r"`server_side` needs Helm 4"):
            shop.deploy(server_side=True)
        return
    assert shop.deploy("text=one") == "deployed", "on the client first"
    shop.edit("deployments", {"spec": {"replicas": 3}}, "horizontal-pod-autoscaler")
    assert shop.deploy("text=two", server_side=True) == "deployed"
    told = "Deployment shop: .spec.replicas had been set by horizontal-pod-autoscaler, and is set as the chart says."
    assert told in shop.lines
    spec = shop.get("deployments")["spec"]
    assert spec["replicas"] == 2
    shop.edit("deployments", {"spec": {"replicas": 3}}, "kubectl")
    assert "as in revision 2 again" in shop.fails("text=three", "pods=crash", server_side=True)
    assert shop.deploy("text=four") == "deployed", "and on the client again"


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {type: LoadBalancer, selector: {app: shop}, ports: [{port: 80}]}
"""


def a_service_to_which_no_load_balancer_gives_an_address(shop: Shop) -> None:
    """Helm 3 alone waits for it in vain, Helm 4 alone does not."""
    if shop.helm.major == 3:
        return
    shop.chart(app=workload("Deployment", pods="late"), service=SERVICE)
    assert shop.deploy(patience=60.0) == "deployed"
    assert "Deployment shop: 1 of 1 ready" in shop.lines
    assert "as in revision 1 again" in shop.fails("pods=crash")


def _cut_off(shop: Shop, number: signal.Signals) -> str:
    """A run that gets a signal after helm has ended well, while only we wait."""
    shop.chart(app=workload("Deployment", spec="strategy: {rollingUpdate: {maxUnavailable: 1}}"))
    assert shop.deploy() == "deployed"
    about = [shop.helm.path, shop.kubeconfig, str(shop.folder), shop.namespace, "pods=never"]
    process = subprocess.Popen([sys.executable, str(WORKER), *about], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    while shop.statuses != ["superseded", "deployed"]:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    return process.communicate(timeout=300)[0]


def a_run_that_is_stopped_while_only_we_wait(shop: Shop) -> None:
    told = _cut_off(shop, signal.SIGTERM)
    assert "was interrupted by SIGTERM. It was rolled back: it is as in revision 1 again." in told, told
    assert shop.statuses[-1] == "deployed"


def a_run_that_is_killed_while_only_we_wait(shop: Shop) -> None:
    """Helm calls its revision deployed, and nobody has seen it ready."""
    _cut_off(shop, signal.SIGKILL)
    assert "as in revision 1 again" in shop.fails("pods=unpulled")


SWITCHED = """\
{{- if .Values.on }}
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
{{- end }}
"""
HOOK = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: app, image: registry.example.com/app}]}
"""
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kettles.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: kettles, singular: kettle, kind: Kettle}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""


def a_chart_that_renders_nothing(shop: Shop) -> None:
    shop.chart(switched=SWITCHED)
    assert shop.deploy() == "deployed", "all is switched off"
    assert shop.deploy("on=true") == "deployed", "a release that is empty in the cluster is not stuck"
    assert [shop.deploy(), shop.deploy()] == ["deployed", "unchanged"]
    with pytest.raises(Refused, match="not found"):
        shop.get("configmaps")
    shop.chart(switched=HOOK)
    assert [shop.deploy(), shop.deploy()] == ["deployed", "unchanged"], "only a hook"


def a_chart_with_nothing_but_definitions(shop: Shop) -> None:
    shop.chart()
    (shop.folder / "crds").mkdir()
    (shop.folder / "crds/kettle.yaml").write_text(DEFINITION.replace("GROUP", f"{shop.namespace}.example.org"))
    assert [shop.deploy(), shop.deploy()] == ["deployed", "unchanged"]


CASES: list[Case] = [
    a_run_that_is_killed_while_only_we_wait,
    a_run_that_is_stopped_while_only_we_wait,
    a_chart_that_renders_nothing,
    a_chart_with_nothing_but_definitions,
    fields_that_an_autoscaler_or_kubectl_touched,
    a_strategy_that_leaves_no_room_for_what_the_api_server_filled_in,
    a_crashing_stateful_set_is_mended_and_rolled_back,
    a_version_that_may_be_unavailable_and_never_becomes_ready,
    a_job_that_fails,
    a_job_that_its_ttl_deletes_and_one_that_takes_its_time,
    what_crashes_once_while_it_starts,
    fields_that_the_api_server_takes_over,
    a_service_to_which_no_load_balancer_gives_an_address,
]
RUNS = [(case, name) for case in CASES for name in HELMS]


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_it_ends_alike(running: Running, case: str, helm: str) -> None:
    running[case, helm].result()
