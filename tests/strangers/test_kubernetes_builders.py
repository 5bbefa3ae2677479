"""BuildKit in Kubernetes: a daemon in a pod, reached over the cluster's API; a farm behind one address."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.engine.buildkit.address import parse
from lineal.engine.buildkit.engine import BuildkitEngine
from lineal.errors import Unreachable
from lineal.store.layout import Layout
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
