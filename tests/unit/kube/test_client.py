"""A client of an API server: its answers, its refusals, and answers that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lineal.kube.client import KubeClient, KubeRefused, path
from lineal.kube.login import KubeUnavailable
from tests.unit.lock import conversation
from tests.unit.lock.test_kubernetes import config

DEPLOYMENTS = path("apis/apps/v1", "shop", "deployments")
Asked = list[tuple[str, str, bytes]]


@pytest.fixture
def asked() -> Asked:
    """The requests so far."""
    return []


@pytest.fixture
def client(asked: Asked, tmp_path: Path) -> Iterator[Callable[..., KubeClient]]:
    """Makes a client of a server that gives this status and body to every request."""
    answers: list[tuple[int, bytes]] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append((method, path, body))
        return answers[-1]

    def make(status: int, body: bytes, biggest: int = 1000) -> KubeClient:
        answers.append((status, body))
        environ = config(tmp_path / "config", address, namespace="shop")
        return KubeClient.connect(environ, None, timeout=300, biggest=biggest)

    with conversation.serve(answer) as address:
        yield make


def test_an_object_is_asked_for_in_the_namespace_of_the_context(client: Callable[..., KubeClient]) -> None:
    api = client(200, b'{"kind": "Deployment"}')
    assert (api.namespace, api.get(DEPLOYMENTS)) == ("shop", {"kind": "Deployment"})


def test_an_object_that_does_not_exist_is_none_and_not_deleted(client: Callable[..., KubeClient]) -> None:
    api = client(404, b'{"kind": "Status", "message": "not found"}')
    assert api.get(DEPLOYMENTS + "/web") is None
    assert api.items(DEPLOYMENTS) == []
    assert api.delete(DEPLOYMENTS + "/web") is False
    with pytest.raises(KubeRefused) as caught:
        api.data(DEPLOYMENTS)
    assert caught.value.status == 404


def test_a_list_gives_its_objects_and_nothing_else(client: Callable[..., KubeClient], asked: Asked) -> None:
    api = client(200, json.dumps({"items": [{"a": 1}, "no object", None]}).encode())
    assert api.items(DEPLOYMENTS, labelSelector="app=web,tier!=db") == [{"a": 1}]
    assert asked == [("GET", f"{DEPLOYMENTS}?labelSelector=app%3Dweb%2Ctier%21%3Ddb", b"")]
    assert client(200, b'{"items": 3}').items(DEPLOYMENTS) == []


def test_an_object_is_created_as_json(client: Callable[..., KubeClient], asked: Asked) -> None:
    client(201, b"{}").create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    ((method, where, body),) = asked
    assert (method, where, json.loads(body)) == ("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})


@pytest.mark.parametrize(
    ("status", "body", "said", "forbidden"),
    [
        (403, b'{"message": "pods is forbidden"}', "pods is forbidden (status 403)", True),
        (401, b'{"message": "Unauthorized"}', "Unauthorized (status 401)", True),
        (500, b'{"message": "a\\u001b[2Jb"}', "a\\x1b[2Jb (status 500)", False),
        (409, b"[]", "no reason is given (status 409)", False),
        (503, b"<html>away</html>", "no reason is given (status 503)", False),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_server(
    client: Callable[..., KubeClient], status: int, body: bytes, said: str, forbidden: bool
) -> None:
    with pytest.raises(KubeRefused) as caught:
        client(status, body).get(DEPLOYMENTS)
    assert (str(caught.value), caught.value.forbidden) == (said, forbidden)


def test_a_status_that_is_allowed_is_no_refusal(client: Callable[..., KubeClient]) -> None:
    assert client(409, b"{}").ask("PUT", DEPLOYMENTS, {}, allowed=(409,)) is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"[" * 900, b'{"a": "' + b"x" * 1000 + b'"}'])
def test_an_answer_that_is_none_of_an_api_server(client: Callable[..., KubeClient], body: bytes) -> None:
    with pytest.raises(KubeUnavailable, match=r"^its answer is not that of a Kubernetes API server$"):
        client(200, body).get(DEPLOYMENTS)


def test_a_log_is_given_as_it_is_up_to_a_limit(client: Callable[..., KubeClient]) -> None:
    assert client(200, b"\x1b[31mnot json").data("/log") == b"\x1b[31mnot json"
    with pytest.raises(KubeUnavailable):
        client(200, b"x" * 1001).data("/log")


def test_a_server_that_is_away_is_named_without_the_token(tmp_path: Path) -> None:
    api = KubeClient.connect(config(tmp_path / "config", "http://127.0.0.1:9"), None)
    with pytest.raises(KubeUnavailable, match=r"^127\.0\.0\.1 cannot be reached \(ConnectError\)$"):
        api.get(DEPLOYMENTS)


@pytest.mark.parametrize("name", ["HELM_KUBEAPISERVER", "HELM_KUBETOKEN", "HELM_KUBEINSECURE_SKIP_TLS_VERIFY"])
def test_a_cluster_that_only_helm_knows_is_not_guessed(tmp_path: Path, name: str) -> None:
    environ = config(tmp_path / "config", "http://127.0.0.1:9")
    with pytest.raises(KubeUnavailable, match="which only helm reads"):
        KubeClient.of_helm({**environ, name: "x"}, None)
    assert KubeClient.of_helm({**environ, name: ""}, None).namespace == "default"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_program_that_logs_in_is_asked_as_kubectl_asks_it(tmp_path: Path, version: str) -> None:
    program, headers = tmp_path / "login", []
    program.write_text(
        '#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > "$0.asked"\n'
        """if [ -e "$0.bad" ]; then echo '{"status": {}}'; else echo '{"status": {"token": "secret-1"}}'; fi\n"""
    )
    program.chmod(0o755)

    class Server(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            headers.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ = config(tmp_path / "config", f"http://127.0.0.1:{server.server_port}")
    found = json.loads((tmp_path / "config").read_text())
    plugin = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": str(program)}
    found["users"][0]["user"] = {"exec": plugin}
    (tmp_path / "config").write_text(json.dumps(found))
    try:
        assert KubeClient.connect(environ, None).get("/x") == {} and headers == ["Bearer secret-1"]
        asked = json.loads((tmp_path / "login.asked").read_text())
        assert asked["apiVersion"] == plugin["apiVersion"] and asked["spec"] == {"interactive": False}
        (tmp_path / "login.bad").touch()
        with pytest.raises(KubeUnavailable, match="gives no token"):
            KubeClient.connect(environ, None).get("/x")
    finally:
        server.shutdown()


def test_the_names_in_a_path_cannot_leave_it() -> None:
    assert path("api/v1", "a/../b", "pods", "x?y") == "/api/v1/namespaces/a%2F..%2Fb/pods/x%3Fy"
