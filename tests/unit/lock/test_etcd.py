"""The lock in etcd: accounts, certificates, and servers that die or are none."""

from __future__ import annotations

import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import requests

from lineal.lock import LockTimeouts
from tests import servers
from tests.unit.lock import parts, worker
from tests.unit.lock.worker import CHECKSUM, Told

pytestmark = pytest.mark.server

OTHER = "6" * 64


def at(endpoint: str, **environ: str) -> dict[str, Any]:
    return {"kind": "etcd", "endpoint": endpoint, "folder": f"test/{secrets.token_hex(8)}", "environ": environ}


def test_user_and_password_come_from_the_environment(tmp_path: Path) -> None:
    with parts.etcd_server(tmp_path) as (endpoint, _):
        for path, body in {
            "auth/user/add": {"name": "root", "password": "s3cr3t"},
            "auth/role/add": {"name": "root"},
            "auth/user/grant": {"user": "root", "role": "root"},
            "auth/enable": {},
        }.items():
            requests.post(f"{endpoint}/v3/{path}", json=body, timeout=300).raise_for_status()
        told = Told()
        good = at(endpoint, LINEAL_ETCD_USERNAME="root", LINEAL_ETCD_PASSWORD="s3cr3t")
        mine = worker.lock(good, told)
        for _ in range(2):
            with mine.hold(CHECKSUM) as held:
                assert held and told.warnings == []
        for environ in ({}, {"LINEAL_ETCD_USERNAME": "root", "LINEAL_ETCD_PASSWORD": "wr0ng"}):
            told = Told()
            with worker.lock(at(endpoint, **environ), told).hold(CHECKSUM) as held:
                assert not held
            (warning,) = told.warnings
            assert "it answers status 4" in warning and "wr0ng" not in warning


def test_a_login_that_etcd_has_forgotten_is_made_again(tmp_path: Path) -> None:
    """An etcd that starts anew knows no tokens; neither does one that has heard nothing for five minutes."""
    with parts.etcd_server(tmp_path) as (endpoint, server):
        for path, body in {
            "auth/user/add": {"name": "root", "password": "s3cr3t"},
            "auth/role/add": {"name": "root"},
            "auth/user/grant": {"user": "root", "role": "root"},
            "auth/enable": {},
        }.items():
            requests.post(f"{endpoint}/v3/{path}", json=body, timeout=300).raise_for_status()
        told = Told()
        mine = worker.lock(at(endpoint, LINEAL_ETCD_USERNAME="root", LINEAL_ETCD_PASSWORD="s3cr3t"), told)
        with mine.hold(CHECKSUM) as held:
            assert held
        server.send_signal(signal.SIGKILL)
        server.wait()
        with parts.etcd_server(tmp_path, port=int(endpoint.rpartition(":")[2])), mine.hold(CHECKSUM) as held:
            assert held, told.warnings


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [servers.program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
         str(key), "-out", str(certificate), "-subj", "/CN=etcd", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    secure = (f"--cert-file={certificate}", f"--key-file={key}")
    with parts.etcd_server(tmp_path / "etcd", *secure) as (endpoint, _):
        assert endpoint.startswith("https://")
        told = Told()
        with worker.lock(at(endpoint), told).hold(CHECKSUM) as held:
            assert not held
        assert "is not trusted" in told.warnings[0]
        told = Told()
        with worker.lock(at(endpoint, SSL_CERT_FILE=str(certificate)), told).hold(CHECKSUM) as held:
            assert held, told.warnings


@pytest.mark.parametrize("when", ["before", "while it is held", "while waiting"])
def test_an_etcd_that_dies_is_one_warning(tmp_path: Path, when: str) -> None:
    with parts.etcd_server(tmp_path) as (endpoint, server):
        told = Told()
        given = at(endpoint)
        mine = worker.lock(given, told)

        def die() -> None:
            server.kill()
            server.wait()

        if when == "before":
            die()
        if when == "while waiting":
            service = worker.service(given, LockTimeouts(), Event())
            assert service.claim(CHECKSUM, service.token(), None)
            thread = Thread(target=die)
            thread.start()
        with mine.hold(CHECKSUM) as held:
            assert held is (when == "while it is held")
            die()
        with mine.hold(OTHER) as held:
            assert not held
    (warning,) = told.warnings
    assert warning.startswith(f"The lock etcd ({endpoint}) cannot be used: 127.0.0.1:")
    assert "This run goes on without it" in warning


class _Liar(BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def liar(status: int, body: bytes) -> Iterator[str]:
    handler = type("Handler", (_Liar,), {"status": status, "body": body})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b'{"ID": {"a": 1}}'), (200, b'{"ID": "-1"}'),
        (200, b"[" * 100_000), (200, b" " * 2_000_000), (307, b""), (404, b"404 page not found"), (500, b"\xff"),
        (401, b'{"error": "\\u001b[31m' + b"x" * 5000 + b'"}'),
    ],
)  # fmt: skip
def test_what_is_no_etcd_is_one_short_warning(status: int, body: bytes) -> None:
    with liar(status, body) as endpoint:
        told = Told()
        with worker.lock(at(endpoint), told).hold(CHECKSUM) as held:
            assert not held
    (warning,) = told.warnings
    assert "cannot be used" in warning and warning.isprintable() and len(warning) < 600
