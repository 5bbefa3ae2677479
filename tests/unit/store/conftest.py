"""Real registries (docker-registry: open, with a password, with a token server) and one that misbehaves on demand."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lineal.clock import Time
from lineal.oci import Store
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.store.layout import Layout
from lineal.store.registry.client import Registry
from tests import servers

USER, PASSWORD = "ali", "open sesame"
HTPASSWD = "ali:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n"
SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
SERVICE = "test-registry"


def basic(user: str = USER, password: str = PASSWORD) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def environ(home: Path, **more: str) -> dict[str, str]:
    """An environment whose only credentials are what a test puts into `home`."""
    return {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", **more}


def manifest_of(store: Store, text: str = "{}") -> Manifest:
    """A small image manifest whose config is in the store."""
    config = Blob.of(text.encode())
    store.put_blob(config)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [],
    }
    return Manifest(json.dumps(document).encode(), OCI_MANIFEST)


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts docker-registry with more configuration lines; gives its `host:port`."""
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    running: list[subprocess.Popen[bytes]] = []

    def start(more: str = "") -> str:
        directory = tmp_path_factory.mktemp("registry")
        port = servers.free_port()
        config = directory / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}\n"
            + (more if more.startswith("http:") else f"http: {{addr: '127.0.0.1:{port}'}}\n{more}").replace(
                "PORT", str(port)
            )
        )
        with (directory / "log").open("wb") as log:
            running.append(subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log))
        servers.wait_for_port(f"127.0.0.1:{port}", running[-1], directory / "log")
        return f"127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=300)


@pytest.fixture(scope="session")
def plain_host(registry_server: Callable[..., str]) -> str:
    return registry_server()


@pytest.fixture(scope="session")
def password_host(registry_server: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("htpasswd") / "htpasswd"
    file.write_text(HTPASSWD)
    return registry_server(f"auth: {{htpasswd: {{realm: test, path: {file}}}}}\n")


@dataclass
class Fake:
    """An HTTP server on loopback that answers what a test scripts and remembers what it was asked.

    `answer` gets (method, path with query, headers, body) and gives (status, headers, body), or None to reset the
    connection."""

    answer: Callable[[str, str, dict[str, str], bytes], tuple[int, dict[str, str], bytes] | None]
    port: int = 0
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def paths(self, method: str) -> list[str]:
        return [path for seen, path, _ in self.seen if seen == method]


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    running = []

    def start(answer: Any) -> Fake:
        made = Fake(answer)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                made.connections += 1
                super().setup()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                made.seen.append((self.command, self.path, headers))
                said = made.answer(self.command, self.path, headers, body)
                if said is None:
                    self.close_connection = True
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self.connection.close()
                    return
                status, more, content = said
                self.send_response_only(status)
                for name, value in {"Content-Length": str(len(content)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                if "Content-Length" in more:  # A promise that is not kept: nothing more will come.
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        running.append((server, thread))
        return made

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Naps:
    """Stands for the clock: never sleeps, remembers how long it was meant to."""

    naps: list[float] = field(default_factory=list)
    wall: float = 1_000_000.0
    monotonic: float = 50.0

    def time(self) -> Time:
        def sleep(seconds: float) -> None:
            self.naps.append(seconds)
            self.monotonic += seconds

        return Time(lambda: self.wall, lambda: self.monotonic, sleep)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def open_registry(tmp_path: Path, naps: Naps) -> Callable[..., Registry]:
    """A client without credentials that does not wait between retries."""

    def make(host: str, repository: str = "team/app", **options: Any) -> Registry:
        options = {"environ": environ(tmp_path), "time": naps.time(), **options}
        return Registry(host, repository, **options)

    return make


class Tokens:
    """A token server for docker-registry: RS256 tokens for what `may` allows, counted, with a chosen life."""

    def __init__(self, directory: Path) -> None:
        self.key, self.certificate = directory / "key.pem", directory / "cert.pem"
        self.life = 300
        self.hides_missing = False
        """Like Docker Hub: who asks only to read is denied what does not exist (here: anything)."""
        self.identity = "an-identity-token"
        self.asked: list[list[str]] = []
        self.posts = 0
        subprocess.run(
            [*SELF_SIGNED, "-keyout", str(self.key), "-out", str(self.certificate)], check=True, capture_output=True
        )

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        query = parse_qs(body.decode() if method == "POST" else urlsplit(path).query)
        self.posts += method == "POST"
        known = headers.get("authorization") == f"Basic {basic()}"
        known = known or query.get("refresh_token") == [self.identity]
        if not known and ("authorization" in headers or method == "POST"):
            return 401, {}, b'{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}'
        scopes = [part for scope in query.get("scope", []) for part in scope.split(" ")]
        self.asked.append(scopes)
        if self.hides_missing and not any("push" in scope for scope in scopes):
            return 403, {}, b'{"errors":[{"code":"DENIED","message":"denied"}]}'
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = actions.split(",") if known else [] if name.startswith("private") else ["pull"]
            access.append({"type": kind, "name": name, "actions": granted})
        return 200, {}, json.dumps({"token": self._sign(access), "expires_in": self.life}).encode()

    def _sign(self, access: list[dict[str, Any]]) -> str:
        def encode(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

        certificate = "".join(self.certificate.read_text().splitlines()[1:-1])
        now = int(time.time())
        claims = {"iss": "tests", "sub": "", "aud": SERVICE, "exp": now + 300, "nbf": now - 9, "iat": now, "jti": "1"}
        head = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        parts = [encode(json.dumps(part).encode()) for part in (head, {**claims, "access": access})]
        signed = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)],
            input=".".join(parts).encode(),
            check=True,
            capture_output=True,
        )
        return ".".join([*parts, encode(signed.stdout)])


@pytest.fixture
def token_registry(
    registry_server: Callable[..., str], fake: Callable[..., Fake], tmp_path: Path
) -> tuple[str, Tokens]:
    """`host:port` of a docker-registry that wants tokens, and the server that gives them."""
    tokens = Tokens(tmp_path)
    server = fake(tokens.answer)
    host = registry_server(
        f"auth: {{token: {{realm: 'http://{server.host}/token', service: {SERVICE}, issuer: tests, "
        f"rootcertbundle: {tokens.certificate}}}}}\n"
    )
    return host, tokens


@pytest.fixture(params=["registry", "password registry", "layout"])
def new_store(
    request: pytest.FixtureRequest, plain_host: str, password_host: str, tmp_path: Path
) -> Callable[[str], Store]:
    """Makes a store for a repository name; the three kinds must be the same to their user."""
    unique = f"t{time.monotonic_ns()}"
    if request.param == "layout":
        return lambda name: Layout(tmp_path / name)
    host = plain_host
    if request.param == "password registry":
        host = password_host
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": basic()}}}))
    return lambda name: Registry(host, f"{unique}/{name}", environ=environ(tmp_path))


@pytest.fixture
def store(new_store: Callable[[str], Store]) -> Store:
    return new_store("app")
