"""An engine that cannot be used: one sentence with the way out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lineal.engine.docker.client import Client, Refused
from lineal.errors import Unreachable


def test_no_socket_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as error:
        Client({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert f"unix://{tmp_path}/none.sock cannot be reached" in str(error.value)
    assert "docker:dind" in str(error.value)
    assert error.value.exit_code == 5


def test_a_refused_connection_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable, match="DOCKER_HOST"):
            Client({"DOCKER_HOST": host})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_no_permission_on_the_socket_is_said(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o600)
        for parent in [tmp_path, *tmp_path.parents][:-1]:
            if parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o055)
        pid = os.fork()
        if pid == 0:
            os.setuid(65534)
            try:
                Client({"DOCKER_HOST": f"unix://{path}"})
            except Unreachable as error:
                os._exit(0 if "No permission" in str(error) else 2)
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_tls_to_a_server_without_it_is_said(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (tmp_path / name).write_text("no certificate")
        host = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Unreachable, match="DOCKER_CERT_PATH"):
            Client({"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})


def test_missing_certificates_are_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="DOCKER_CERT_PATH"):
        Client({"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})


@pytest.mark.engine
def test_a_refusal_has_the_engine_s_own_words(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.json("GET", "/containers/nowhere/json", "look at a container")
    assert refused.value.status == 404
    assert "could not look at a container: No such container: nowhere" in str(refused.value)


@pytest.mark.engine
def test_what_is_not_there_is_none(client: Client) -> None:
    assert client.find("/images/nowhere/json", "look") is None


def test_importing_the_engine_does_not_import_docker() -> None:
    code = "import sys, lineal.engine.docker.engine; sys.exit(any(m in sys.modules for m in ('docker', 'requests')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
