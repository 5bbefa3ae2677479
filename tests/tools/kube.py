"""An API server for Helm in memory: namespaces, secrets and config maps, enough to install and to roll back.

It is no Kubernetes: nothing is validated, and applying replaces. `Cluster.hold` keeps requests waiting, as a busy
server would."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

WORKLOADS = {"pods", "replicationcontrollers", "deployments", "replicasets", "statefulsets", "daemonsets",
             "controllerrevisions", "jobs", "cronjobs"}  # fmt: skip
KINDS = {"namespaces": "Namespace", "secrets": "Secret", "configmaps": "ConfigMap"}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


class Cluster:
    """`url` is its address; `close()` ends it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.hold: Callable[[str, str], bool] = lambda _method, _path: False
        """Whether a request, given as method and path, waits until `release` is set."""
        self.on_hold: Callable[[], None] = lambda: None
        """Called when a request begins to wait."""
        self.release = threading.Event()
        self.break_: Callable[[str, str], bool] = lambda _method, _path: False
        """Whether a request is answered with 422."""
        self.refuse: Callable[[str, str], bool] = lambda _method, _path: False
        """Whether a request is answered with 403."""
        self.pods: list[dict[str, Any]] | None = None
        """All pods, then lists of what makes pods are empty; None: nothing is known of any."""
        self.log: list[str] = []
        self.lock = threading.Lock()
        self.versions = itertools.count(1)
        self.server = ThreadingHTTPServer((host, 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://{host}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self) -> str:
        cluster = {"name": "c", "cluster": {"server": self.url}}
        context = {"name": "fake", "context": {"cluster": "c", "user": "u"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
        return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "fake", **config})

    def releases(self) -> dict[str, str]:
        """Helm's records: `shop.v1` -> status."""
        return {
            name.removeprefix("sh.helm.release.v1."): thing["metadata"]["labels"]["status"]
            for (kind, _, name), thing in sorted(self.objects.items())
            if kind == "secrets" and name.startswith("sh.helm.release.v1.")
        }


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self, code: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            # A client that was killed while it waited.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data)

        def fail(self, code: int, reason: str) -> None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
            self.answer(code, {**status, "message": f"{self.path} is {reason.lower()}: by the test"})

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            cluster.log.append(f"{self.command} {self.path}")
            if cluster.hold(self.command, url.path):
                cluster.on_hold()
                cluster.release.wait()
            if cluster.refuse(self.command, url.path):
                self.fail(403, "Forbidden")
                return
            if cluster.break_(self.command, url.path):
                self.fail(422, "Invalid")
                return
            known = _discovery(url.path)
            if known is not None:
                self.answer(200, known)
                return
            parts = url.path.removeprefix("/api/v1/").split("/")
            namespace = ""
            if len(parts) > 2 and parts[0] == "namespaces":
                namespace, parts = parts[1], parts[2:]
            if cluster.pods is not None and self.command == "GET" and url.path.rpartition("/")[2] in WORKLOADS:
                items = cluster.pods if url.path == "/api/v1/pods" else []
                self.answer(200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
                return
            if not url.path.startswith("/api/v1/") or parts[0] not in KINDS:
                self.fail(404, "NotFound")
                return
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if "watch" in query:
                self.watch(parts[0], namespace)
                return
            with cluster.lock:
                self.serve(parts[0], namespace, parts[1] if len(parts) > 1 else "", query, body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def watch(self, kind: str, namespace: str) -> None:
            """What is there, and then silence until the client has had enough."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            there = [
                {"type": "ADDED", "object": thing}
                for (of, within, _), thing in list(cluster.objects.items())
                if of == kind and namespace in ("", within)
            ]
            about = {"annotations": {"k8s.io/initial-events-end": "true"}}
            about["resourceVersion"] = str(next(cluster.versions))  # type: ignore[assignment]
            end = {"type": "BOOKMARK", "object": {"kind": KINDS[kind], "apiVersion": "v1", "metadata": about}}
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for event in [*there, end]:
                    self.wfile.write(json.dumps(event).encode() + b"\n")
            cluster.release.wait(1)

        def serve(self, kind: str, namespace: str, name: str, query: dict[str, str], body: bytes) -> None:
            key = (kind, namespace, name)
            if self.command == "GET" and not name:
                wanted = [part.split("=") for part in query.get("labelSelector", "").split(",") if "=" in part]
                items = [
                    thing
                    for (of, within, _), thing in cluster.objects.items()
                    if of == kind
                    and namespace in ("", within)
                    and all(thing["metadata"].get("labels", {}).get(label) == value for label, value in wanted)
                ]
                version = {"resourceVersion": str(next(cluster.versions))}
                listed = {"kind": f"{KINDS[kind]}List", "apiVersion": "v1", "metadata": version, "items": items}
                self.answer(200, listed)
            elif self.command == "POST":
                sent = _decoded(body)
                name = sent["metadata"]["name"]
                if (kind, namespace, name) in cluster.objects:
                    self.fail(409, "AlreadyExists")
                else:
                    self.answer(201, self.put((kind, namespace, name), sent))
            elif self.command == "PATCH" and "apply" in self.headers.get("Content-Type", ""):
                self.answer(200, self.put(key, yaml.safe_load(body)))
            elif key not in cluster.objects:
                self.fail(404, "NotFound")
            elif self.command == "GET":
                self.answer(200, cluster.objects[key])
            elif self.command == "DELETE":
                self.answer(200, cluster.objects.pop(key))
            elif self.command == "PUT":
                self.answer(200, self.put(key, _decoded(body)))
            else:
                self.answer(200, self.put(key, _merged(cluster.objects[key], _decoded(body))))

        def put(self, key: tuple[str, str, str], thing: dict[str, Any]) -> dict[str, Any]:
            for text, value in thing.pop("stringData", {}).items():
                thing.setdefault("data", {})[text] = base64.b64encode(value.encode()).decode()
            about = thing["metadata"]
            about.setdefault("uid", f"uid-{next(cluster.versions)}")
            about["resourceVersion"] = str(next(cluster.versions))
            if key[1]:
                about["namespace"] = key[1]
            cluster.objects[key] = {"apiVersion": "v1", "kind": KINDS[key[0]], **thing}
            return cluster.objects[key]

    return Handler


def _decoded(body: bytes) -> Any:
    return _secret(body[4:]) if body.startswith(b"k8s\x00") else json.loads(body)


def _secret(unknown: bytes) -> dict[str, Any]:
    """Helm keeps its records by a client that speaks protobuf: `runtime.Unknown` with a `Secret` in its field 2."""
    fields = _protobuf(_protobuf(unknown)[2][0])
    meta = _protobuf(fields[1][0])
    labels = [_protobuf(entry) for entry in meta.get(11, [])]
    data = [_protobuf(entry) for entry in fields.get(2, [])]
    return {
        "metadata": {
            "name": meta[1][0].decode(),
            "labels": {entry[1][0].decode(): entry.get(2, [b""])[0].decode() for entry in labels},
        },
        "data": {entry[1][0].decode(): base64.b64encode(entry.get(2, [b""])[0]).decode() for entry in data},
        "type": fields[3][0].decode(),
    }


def _protobuf(data: bytes) -> dict[int, list[bytes]]:
    """Field number -> values; numbers are skipped."""
    fields: dict[int, list[bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        size = varint()
        if tag & 7 == 2:
            fields.setdefault(tag >> 3, []).append(data[at : at + size])
            at += size
    return fields


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    kept = {key: value for key, value in old.items() if key not in patch}
    return kept | {key: _merged(old.get(key), value) for key, value in patch.items() if value is not None}


def _discovery(path: str) -> dict[str, Any] | None:
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
    if path == "/api/v1":
        resources = [
            {"name": name, "singularName": "", "namespaced": name != "namespaces", "kind": kind, "verbs": _VERBS}
            for name, kind in KINDS.items()
        ]
        return {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}
    if path == "/openapi/v3":
        return {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1"}}}
    if path == "/openapi/v3/api/v1":
        return _OPENAPI
    return None


# What makes clients trust that the server validates by itself.
_OPENAPI: dict[str, Any] = {
    "openapi": "3.0.0",
    "info": {"title": "fake", "version": "1"},
    "paths": {
        f"/api/v1/namespaces/{{namespace}}/{name}/{{name}}": {
            "patch": {
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                "responses": {},
                "x-kubernetes-group-version-kind": {"group": "", "version": "v1", "kind": kind},
            }
        }
        for name, kind in KINDS.items()
    },
}
