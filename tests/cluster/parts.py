"""A Kubernetes API server for tests: kube-apiserver with Debian's etcd beside it, nothing else (no pod ever runs).

`LINEAL_TEST_KUBECONFIG` names a cluster to use in its place. The programs come from `KUBEBUILDER_ASSETS` or from
`make cluster`, which builds the API server once."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test" / "cluster"


def program() -> Path | None:
    """The API server to start, None when there is none."""
    folders = [Path(named) for named in [os.environ.get("KUBEBUILDER_ASSETS", "")] if named]
    found = [folder / "kube-apiserver" for folder in [*folders, CACHE]]
    return next((path for path in found if path.is_file()), None)


@contextmanager
def api_server(directory: Path) -> Iterator[Path]:
    """The kubeconfig of a running cluster; the test is skipped where there is none."""
    given = os.environ.get("LINEAL_TEST_KUBECONFIG")
    if given:
        yield Path(given)
        return
    binary = program()
    if binary is None:
        if os.environ.get("LINEAL_REQUIRE_CLUSTER") == "1":
            pytest.fail("There is no kube-apiserver, and LINEAL_REQUIRE_CLUSTER wants one: run `make cluster`.",
                        pytrace=False)  # fmt: skip
        # Skips are quiet, warnings are not.
        warnings.warn(
            "NO REAL API SERVER: Kubernetes was only tried on a recording; run `make cluster`", stacklevel=2
        )
        pytest.skip("there is no kube-apiserver: `make cluster` builds one")
    with _etcd(directory) as etcd, _running(binary, directory, etcd) as kubeconfig:
        yield kubeconfig


@contextmanager
def _etcd(directory: Path) -> Iterator[str]:
    client, peer = f"http://127.0.0.1:{servers.free_port()}", f"http://127.0.0.1:{servers.free_port()}"
    beside = [Path(folder) / "etcd" for folder in [os.environ.get("KUBEBUILDER_ASSETS", "")] if folder]
    binary = next((str(path) for path in beside if path.is_file()), None) or servers.program("etcd")
    with (directory / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "--data-dir", str(directory / "etcd"), "--listen-client-urls", client,
             "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"default={peer}", "--unsafe-no-fsync"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        servers.wait_for_port(client.removeprefix("http://"), process, directory / "etcd.log")
        yield client
    finally:
        process.kill()
        process.wait(300)


@contextmanager
def _running(binary: Path, directory: Path, etcd: str) -> Iterator[Path]:
    port, token = servers.free_port(), secrets.token_hex(16)
    key = directory / "service-account.key"
    subprocess.run([servers.program("openssl"), "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens = directory / "tokens.csv"
    tokens.touch(0o600)
    # The second has no rights but those that a test gives it.
    tokens.write_text(f'{token},admin,admin,"system:masters"\n{token[::-1]},nobody,nobody,"nobodies"\n')
    command = [
        str(binary), "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", str(port),
        "--cert-dir", str(directory / "certificates"), "--token-auth-file", str(tokens),
        "--authorization-mode", "RBAC", "--service-account-issuer", "https://kubernetes.default.svc",
        "--service-account-key-file", str(key), "--service-account-signing-key-file", str(key),
        "--service-cluster-ip-range", "10.0.0.0/24", "--disable-admission-plugins", "ServiceAccount",
    ]  # fmt: skip
    log = directory / "kube-apiserver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait_until_ready(f"https://127.0.0.1:{port}", token, process, log)
        certificate = directory / "certificates" / "apiserver.crt"
        for name, mine in (("kubeconfig", token), ("nobody", token[::-1])):
            _write(directory / name, f"https://127.0.0.1:{port}", certificate, mine)
        yield directory / "kubeconfig"
    finally:
        process.kill()
        process.wait(300)


def _wait_until_ready(url: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    # Its certificate is one of its own, made a moment ago.
    context = ssl._create_unverified_context()
    request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {token}"})
    end = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"kube-apiserver did not become ready: {log.read_text(errors='replace')[-3000:]}")


def _write(path: Path, url: str, certificate: Path, token: str) -> None:
    path.touch(0o600)
    # JSON is YAML.
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": url, "certificate-authority": str(certificate)}}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests", "namespace": "default"}}],
    }))  # fmt: skip


def nobody(kubeconfig: Path) -> Path:
    """A kubeconfig of the same cluster for somebody who may do nothing; the test is skipped where there is none."""
    file = kubeconfig.with_name("nobody")
    if not file.is_file():
        pytest.skip(f"LINEAL_TEST_KUBECONFIG has no {file} beside it, of an account that may do nothing")
    return file


def kubectl() -> str | None:
    return shutil.which("kubectl")
