"""What a controller manager and a kubelet do for workloads, as far as a rollout sees it: no container ever runs.

The annotation `test/pods` of a pod template says what becomes of its pods: `ready` (the default), `late` (they crash
once), `never` (they run and are not ready), `unpulled` (no such image), `crash`, `config` (a config map is missing),
`unscheduled`. Creating a pod is a real request, so quotas and admission policies refuse it as they would."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import servers
from tests.cluster import exec
from tests.cluster.client import Client, Refused

BEHAVIOUR = "test/pods"
LOG = "connecting to db:5432\npassword is hunter2\npanic: no database\n"
"""What every container has printed."""
_NODE = "node-1"
_WAITING = {
    "unpulled": ("ImagePullBackOff", 'Back-off pulling image "{image}": ErrImagePull: {image}: not found'),
    "config": ("CreateContainerConfigError", 'configmap "settings" not found'),
    "crash": ("CrashLoopBackOff", "back-off 40s restarting failed container"),
    "late": ("CrashLoopBackOff", "back-off 10s restarting failed container"),
}


@contextmanager
def controller(kubeconfig: Path, directory: Path) -> Iterator[Client]:
    """Runs beside the test. `directory` is for the certificate of the kubelet's port."""
    client = Client(kubeconfig)
    with _kubelet(client, directory) as port:
        _make_node(client, port)
        made = _Controller(Client(kubeconfig))
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        try:
            yield client
        finally:
            made.ended.set()
            thread.join(20)


def _make_node(client: Client, port: int) -> None:
    with suppress(Refused):
        client.create("nodes", "", {"metadata": {"name": _NODE}})
    client.status("nodes", "", _NODE, {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    })  # fmt: skip


@contextmanager
def _kubelet(client: Client, directory: Path) -> Iterator[int]:
    """What the API server asks a kubelet for: logs, and a program in a container, which runs here, with the variables
    that the pod has."""
    directory.mkdir(exist_ok=True)
    key, certificate = directory / "kubelet.key", directory / "kubelet.crt"
    subprocess.run(
        [servers.program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip

    class Kubelet(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path.startswith("/exec/"):
                _, _, namespace, pod, container = asked.path.split("/")
                found = client.get("pods", namespace, pod)["spec"]["containers"]
                variables = next(one.get("env", []) for one in found if one["name"] == container)
                env = {one["name"]: one["value"] for one in variables}
                exec.serve(self, parse_qs(asked.query)["command"], env)
                return
            self.send_response(200 if self.path.startswith("/containerLogs/") else 404)
            self.end_headers()
            self.wfile.write(LOG.encode())

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """The API server goes when it likes."""

    server = Server(("127.0.0.1", 0), Kubelet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Controller:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.ended = threading.Event()
        self.told: dict[str, str] = {}

    def tell(self, kind: str, thing: dict[str, Any], status: dict[str, Any]) -> None:
        """Write a status once: the namespaces of all tests before are still there."""
        about, text = thing["metadata"], json.dumps(status)
        if self.told.get(about["uid"]) != text:
            self.client.status(kind, about["namespace"], about["name"], status)
            self.told[about["uid"]] = text

    def run(self) -> None:
        seen = ""
        while not self.ended.wait(0.2):
            # Things change and vanish between two requests; the next round sees it.
            with suppress(Refused, OSError):
                now = self.client.revision()
                if now != seen:
                    self.round()
                    seen = now

    def round(self) -> None:
        sets = self.client.list("replicasets")
        pods = self.client.list("pods")
        deployments = self.client.list("deployments")
        for deployment in deployments:
            with suppress(Refused):
                self.deployment(deployment, [one for one in sets if _owned(one, deployment)], pods)
        known = {one["metadata"]["uid"] for one in deployments}
        for one in sets:
            if not {owner["uid"] for owner in one["metadata"].get("ownerReferences", [])} & known:
                self.drop("replicasets", one)
        for kind in ("statefulsets", "daemonsets"):
            for one in self.client.list(kind):
                with suppress(Refused):
                    self.plain(kind, one, [pod for pod in pods if _owned(pod, one)])
                known.add(one["metadata"]["uid"])
        jobs = self.client.list("jobs")
        for job in jobs:
            with suppress(Refused):
                self.job(job, [pod for pod in pods if _owned(pod, job)])
            known.add(job["metadata"]["uid"])
        known |= {one["metadata"]["uid"] for one in sets}
        for pod in pods:
            owners = {owner["uid"] for owner in pod["metadata"].get("ownerReferences", [])}
            if owners and not owners & known:
                self.drop("pods", pod)
        deleted = {"deployments": deployments, "jobs": jobs, "configmaps": self.client.list("configmaps")}
        for kind, things in deleted.items():
            for one in things:
                with suppress(Refused):
                    self.release(kind, one)

    def release(self, kind: str, one: dict[str, Any]) -> None:
        """As the garbage collector: what was deleted in the foreground is let go. Its pods go in the next round."""
        about = one["metadata"]
        finalizers = about.get("finalizers", [])
        if "deletionTimestamp" in about and _FOREGROUND in finalizers:
            rest = [name for name in finalizers if name != _FOREGROUND]
            patch = {"metadata": {"finalizers": rest, "resourceVersion": about["resourceVersion"]}}
            path = self.client.path(kind, about["namespace"], about["name"])
            self.client.ask("PATCH", path, patch, "application/merge-patch+json")

    def drop(self, kind: str, thing: dict[str, Any]) -> None:
        with suppress(Refused):
            self.client.delete(kind, thing["metadata"]["namespace"], thing["metadata"]["name"])

    def deployment(self, deployment: dict[str, Any], sets: list[dict[str, Any]], pods: list[dict[str, Any]]) -> None:
        template, about = deployment["spec"]["template"], deployment["metadata"]
        if deployment["spec"].get("paused"):
            self.tell("deployments", deployment, {"observedGeneration": about["generation"]})
            return
        hashed = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        name = f"{about['name']}-{hashed}"
        newest = next((one for one in sets if one["metadata"]["name"] == name), None)
        number = max([int(one["metadata"]["annotations"][_REVISION]) for one in sets], default=0)
        if newest is None or int(newest["metadata"]["annotations"][_REVISION]) < number:
            number += 1
            for one in sets:
                if one is not newest:
                    self.drop("replicasets", one)
            if newest is None:
                newest = self.client.create("replicasets", about["namespace"], _replica_set(deployment, name, number))
        if about.get("annotations", {}).get(_REVISION) != str(number):
            patch = {"metadata": {"annotations": {_REVISION: str(number)}}}
            path = self.client.path("deployments", about["namespace"], about["name"])
            self.client.ask("PATCH", path, patch, "application/merge-patch+json")
        mine = [pod for pod in pods if _owned(pod, newest)]
        ready, refused = self.pods(newest, deployment["spec"]["replicas"], template, mine)
        self.tell("replicasets", newest, {
            "replicas": len(mine), "readyReplicas": ready, "availableReplicas": ready,
            "observedGeneration": newest["metadata"]["generation"],
        })  # fmt: skip
        self.tell("deployments", deployment, _status(deployment, ready, refused))

    def pods(
        self, owner: dict[str, Any], wanted: int, template: dict[str, Any], pods: list[dict[str, Any]]
    ) -> tuple[int, str]:
        """How many are ready, and why one could not be made."""
        for extra in pods[wanted:]:
            self.drop("pods", extra)
        refused = ""
        names = {pod["metadata"]["name"] for pod in pods}
        for number in range(wanted):
            name = f"{owner['metadata']['name']}-{number}"
            if name in names:
                continue
            try:
                pods.append(self.client.create("pods", owner["metadata"]["namespace"], _pod(owner, template, name)))
            except Refused as error:
                refused = refused if error.code == 409 else error.message
        ready = 0
        for pod in pods[:wanted]:
            seen = bool(pod.get("status", {}).get("conditions"))
            behaviour = pod["metadata"].get("annotations", {}).get(BEHAVIOUR, "ready")
            now = "ready" if behaviour == "late" and seen else behaviour
            ready += now == "ready"
            if not seen or (behaviour == "late" and not _is_ready(pod)):
                self.client.status("pods", pod["metadata"]["namespace"], pod["metadata"]["name"],
                                   _pod_status(pod, now))  # fmt: skip
                self.event(pod, now)
        return ready, refused

    def event(self, about: dict[str, Any], behaviour: str, message: str = "") -> None:
        if behaviour in ("ready", "never"):
            return
        reason, text = _WAITING.get(behaviour, ("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu."))
        place = about["metadata"]
        with suppress(Refused):
            self.client.create("events", place["namespace"], {
                "metadata": {"name": f"{place['name']}.{time.time_ns():x}"},
                "involvedObject": {"kind": about.get("kind", "Pod"), "name": place["name"], "uid": place["uid"],
                                   "namespace": place["namespace"]},
                "reason": "FailedCreate" if message else reason, "type": "Warning", "count": 1,
                "message": message or text.format(image="registry.example.com/app"),
                "firstTimestamp": _now(), "lastTimestamp": _now(),
            })  # fmt: skip

    def plain(self, kind: str, one: dict[str, Any], pods: list[dict[str, Any]]) -> None:
        """A StatefulSet or a DaemonSet (of one node): their pods are their own."""
        template, about = one["spec"]["template"], one["metadata"]
        generation = str(about["generation"])
        template["metadata"].setdefault("labels", {}).update(
            {"pod-template-generation": generation, "controller-revision-hash": f"r{generation}"}
        )
        old = [pod for pod in pods if pod["metadata"]["labels"].get("controller-revision-hash") != f"r{generation}"]
        if old and one["spec"]["updateStrategy"]["type"] != "OnDelete":
            self.drop("pods", old[0])
            return
        wanted = one["spec"].get("replicas", 1) if kind == "statefulsets" else 1
        ready, refused = self.pods(one, wanted, template, pods)
        query = f"?fieldSelector=involvedObject.uid={about['uid']}"
        if refused and not self.client.list("events", about["namespace"], query):
            self.event({**one, "kind": "StatefulSet" if kind == "statefulsets" else "DaemonSet"}, "", refused)
        status: dict[str, Any] = {"observedGeneration": about["generation"]}
        if kind == "statefulsets":
            revision = f"r{generation}"
            status |= {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready,
                       "currentReplicas": wanted, "updatedReplicas": wanted - len(old),
                       "currentRevision": revision, "updateRevision": revision}  # fmt: skip
        else:
            status |= {"desiredNumberScheduled": 1, "currentNumberScheduled": 1,
                       "updatedNumberScheduled": 1 - len(old),
                       "numberReady": ready, "numberAvailable": ready, "numberMisscheduled": 0}  # fmt: skip
        self.tell(kind, one, status)

    def job(self, job: dict[str, Any], pods: list[dict[str, Any]]) -> None:
        if any(condition["type"] in ("Complete", "Failed") for condition in job["status"].get("conditions", [])):
            return
        template, about = job["spec"]["template"], job["metadata"]
        if job["spec"].get("suspend"):
            return
        behaviour = template["metadata"].get("annotations", {}).get(BEHAVIOUR, "ready")
        self.pods(job, 1, template, pods)
        if behaviour == "never":
            return
        good = behaviour == "ready"
        kinds = ("SuccessCriteriaMet", "Complete") if good else ("FailureTarget", "Failed")
        why = {} if good else {"reason": "BackoffLimitExceeded", "message": "Job has reached the limit"}
        status: dict[str, Any] = {
            "startTime": _now(), "uncountedTerminatedPods": {},
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": _now(), **why} for kind in kinds],
            **({"succeeded": 1, "completionTime": _now()} if good else {"failed": 1}),
        }  # fmt: skip
        self.client.status("jobs", about["namespace"], about["name"], status)


_REVISION = "deployment.kubernetes.io/revision"
_FOREGROUND = "foregroundDeletion"


def _is_ready(pod: dict[str, Any]) -> bool:
    return {"type": "Ready", "status": "True"} in [
        {key: one.get(key) for key in ("type", "status")} for one in pod["status"].get("conditions", [])
    ]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _owned(thing: dict[str, Any], by: dict[str, Any]) -> bool:
    owners = thing["metadata"].get("ownerReferences", [])
    return any(owner["uid"] == by["metadata"]["uid"] for owner in owners)


def _owner(of: dict[str, Any], kind: str, version: str = "apps/v1") -> list[dict[str, Any]]:
    about = of["metadata"]
    return [{"apiVersion": version, "kind": kind, "name": about["name"], "uid": about["uid"], "controller": True}]


def _replica_set(deployment: dict[str, Any], name: str, number: int) -> dict[str, Any]:
    spec = deployment["spec"]
    return {
        "metadata": {"name": name, "ownerReferences": _owner(deployment, "Deployment"),
                     "labels": spec["template"]["metadata"].get("labels", {}),
                     "annotations": {_REVISION: str(number)}},
        "spec": {"replicas": spec["replicas"], "selector": spec["selector"], "template": spec["template"]},
    }  # fmt: skip


def _pod(owner: dict[str, Any], template: dict[str, Any], name: str) -> dict[str, Any]:
    behaviour = template["metadata"].get("annotations", {}).get(BEHAVIOUR, "ready")
    spec = dict(template["spec"]) if behaviour == "unscheduled" else {**template["spec"], "nodeName": _NODE}
    return {
        "metadata": {**template["metadata"], "name": name, "ownerReferences": _owner(owner, "Owner")},
        "spec": spec,
    }  # fmt: skip


def _pod_status(pod: dict[str, Any], behaviour: str) -> dict[str, Any]:
    if behaviour == "unscheduled":
        why = {"reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}
        return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", **why}]}
    ready = behaviour == "ready"
    container = pod["spec"]["containers"][0]
    state: dict[str, Any] = {"running": {"startedAt": _now()}}
    more: dict[str, Any] = {}
    crashed = behaviour in ("crash", "late")
    if behaviour in _WAITING:
        reason, message = _WAITING[behaviour]
        state = {"waiting": {"reason": reason, "message": message.format(image=container["image"])}}
    if crashed:
        more = {"lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}
    return {
        "phase": "Running" if ready or crashed or behaviour == "never" else "Pending",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{
            "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
            "restartCount": {"crash": 4, "late": 1}.get(behaviour, 0), "state": state, **more,
        }],
    }  # fmt: skip


def _status(deployment: dict[str, Any], ready: int, refused: str) -> dict[str, Any]:
    wanted = deployment["spec"]["replicas"]
    done = ready >= wanted
    conditions = [
        {"type": "Available", "status": "True" if done else "False", "reason": "Test", "message": ""},
        {"type": "Progressing", "status": "True", "message": "",
         "reason": "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"},
    ]  # fmt: skip
    if refused:
        conditions.append({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": refused})
    return {
        "observedGeneration": deployment["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted,
        "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": wanted - ready,
        "conditions": conditions,
    }  # fmt: skip
