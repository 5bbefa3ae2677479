"""BuildKit in Kubernetes: a daemon in a pod, reached over the cluster's API; a farm behind one address."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lineal.engine.buildkit.address import Address, parse
from lineal.engine.buildkit.certificates import certified
from lineal.engine.buildkit.engine import BuildkitEngine
from lineal.errors import BadConfiguration, Unreachable
from lineal.store.layout import Layout
from tests import servers
from tests.cluster.fixtures import Cluster
from tests.cluster.parts import nobody
from tests.differential.buildkit import PROGRAMS, buildkitd, fast, missing
from tests.unit.engine.buildkit.conftest import Bench, bench

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def daemon(registry: str) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True) as short,
        buildkitd(Path(short), registry) as running,
    ):
        yield running.address


@pytest.fixture
def pod(kubernetes: Cluster, namespace: str, daemon: str) -> str:
    """The address of a pod in which `buildctl` finds the daemon, beside a container where it does not."""
    kubernetes.client.create("namespaces", "", {"metadata": {"name": namespace}})
    kubernetes.client.create("pods", namespace, {"metadata": {"name": "buildkit-0"}, "spec": {
        "nodeName": "node-1",
        "containers": [
            container("buildkitd", {"PATH": str(PROGRAMS), "BUILDKIT_HOST": daemon}),
            container("other", {"PATH": str(PROGRAMS), "BUILDKIT_HOST": "unix:///nowhere/sock"}),
        ],
    }})  # fmt: skip
    return f"kube-pod://buildkit-0?namespace={namespace}"


def container(name: str, variables: dict[str, str]) -> dict[str, object]:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return {"name": name, "image": "registry.example.com/buildkit:1", "env": env}


def in_pod(address: str, kubeconfig: Path, workspace: Path) -> Bench:
    made = bench(address, Layout(workspace / "store", "layout:store"), workspace)
    environ = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig)}
    made.engine = BuildkitEngine([parse(address, "test")], environment=environ)
    return made


def test_a_daemon_in_a_pod(kubernetes: Cluster, pod: str, tmp_path: Path) -> None:
    made = in_pod(f"{pod}&container=buildkitd&context=tests", kubernetes.kubeconfig, tmp_path)
    # Enough to fill windows and buffers in both directions.
    assert made.run("head -c 5000000 /dev/urandom >/data/x; echo said") and made.said == ["said"]


def test_a_pod_that_cannot_be_used_is_said(
    kubernetes: Cluster, pod: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineal.engine.buildkit.connect._WAITS", ())

    def failing(address: str, kubeconfig: Path = kubernetes.kubeconfig) -> str:
        with pytest.raises(Unreachable) as failed:
            in_pod(address, kubeconfig, tmp_path).run("true")
        return failed.value.message

    assert "buildkit-0" in failing(pod) and "choose one of: [buildkitd other]" in failing(pod)
    assert "nowhere/sock" in failing(f"{pod}&container=other"), "what buildctl says in the pod"
    assert 'pods "absent" not found' in failing(pod.replace("buildkit-0", "absent"))
    assert failing(f"{pod}&container=buildkitd", nobody(kubernetes.kubeconfig)).startswith("No permission to use the")
    assert "which does not exist" in failing(pod, tmp_path / "absent")


# --- the farm of the documentation ----------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Made by the commands of the page."""
    made = tmp_path / "certificates"
    made.mkdir()
    (commands,) = re.findall(r"```sh\n(ec=.*?)```", (ROOT / "docs/engines.md").read_text(), re.S)
    subprocess.run(["sh", "-e", "-c", commands], cwd=made, check=True, capture_output=True)
    return made


def test_the_farm_of_the_page(
    kubernetes: Cluster, namespace: str, certificates: Path, registry: str, tmp_path: Path
) -> None:
    client = kubernetes.client
    client.create("namespaces", "", {"metadata": {"name": namespace}})
    for one in yaml.safe_load_all((ROOT / "examples/kubernetes/buildkit-farm.yaml").read_text()):
        client.create(f"{one['kind'].lower()}s", namespace, one)
    files = {name: (certificates / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem")}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    client.create("secrets", namespace, {"metadata": {"name": "buildkit-certs"}, "data": data})

    # What the cluster took is started by hand: the same arguments, with the places that a pod would have.
    pod = client.get("deployments", namespace, "buildkitd")["spec"]["template"]["spec"]
    with tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True) as short:
        toml = client.get("configmaps", namespace, "buildkitd")["data"]["buildkitd.toml"]
        (Path(short) / "buildkitd.toml").write_text(toml)
        place = f"127.0.0.1:{servers.free_port()}"
        there = {"/run/user/1000/buildkit": short, "/etc/buildkit": short, "/certs": str(certificates)}
        there["0.0.0.0:1234"] = place
        arguments = [_replaced(text, there) for text in pod["containers"][0]["args"]]
        # The image starts it in a user namespace, which it sees by itself.
        with buildkitd(Path(short) / "own", registry, *arguments, "--rootless"):
            use(f"tcp://{place}", certificates, tmp_path)


def _replaced(text: str, there: dict[str, str]) -> str:
    for pod, here in there.items():
        text = text.replace(pod, here)
    return text


def use(address: str, certificates: Path, workspace: Path) -> None:
    made = bench(address, Layout(workspace / "store", "layout:store"), workspace)

    def run(**variables: str) -> None:
        environ = {f"LINEAL_BUILDKIT_{name}": value for name, value in variables.items()}
        made.engine = BuildkitEngine(certified([parse(address, "test")], environ, workspace), environment=environ)
        made.run("echo said")

    authority = {"CACERT": (certificates / "ca.pem").read_text(), "SERVERNAME": "buildkitd.buildkit"}
    key = (certificates / "client.key").read_text()
    run(**authority, CERT=str(certificates / "client.pem"), KEY=key)
    assert made.said == ["said"] and (workspace / "buildkit-key.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unreachable, match="No TLS connection to the buildkitd") as refused:
        run(**authority)
    assert "certificate required" in str(refused.value)


def test_what_is_wrong_with_certificates_is_said(tmp_path: Path) -> None:
    plain = [Address("tcp", "b:1"), Address("unix", "/b")]

    def refused(**variables: str) -> str:
        with pytest.raises(BadConfiguration) as error:
            certified(plain, {f"LINEAL_BUILDKIT_{name}": value for name, value in variables.items()}, tmp_path)
        return str(error.value)

    assert "LINEAL_BUILDKIT_CERT is set and LINEAL_BUILDKIT_KEY is not" in refused(CERT="/dev/null")
    assert "LINEAL_BUILDKIT_CACERT names `/nowhere/ca.pem`, where no file is" in refused(CACERT="/nowhere/ca.pem")
    assert "c2VjcmV0" not in refused(CERT="/dev/null", KEY="c2VjcmV0\nc2VjcmV0")
    own = parse("tcp://b:1?servername=x", "test")
    given = {"LINEAL_BUILDKIT_SERVERNAME": "y"}
    first, second, third = certified([*plain, own], given, tmp_path)
    assert (first.tls and first.tls.servername, second, third) == ("y", plain[1], own)
    assert certified(plain, {}, tmp_path) == tuple(plain)
