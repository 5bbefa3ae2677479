"""The workflow of examples/ci with `setup/`, run whole: the command line beside a program that only the job has."""

from __future__ import annotations

import gzip
import io
import json
import platform
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
import requests
import yaml

from lineal import __version__
from tests.act.runner import Act
from tests.act.test_workflows import deployed, published
from tests.onefile.conftest import build, wheels_of
from tests.tools import kube

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.helm, pytest.mark.slow]

PYTHON = "313"
"""That of the image which is the runner here, Debian's."""
AWS = """#!/bin/sh
case "$1 $2" in
  "eks update-kubeconfig") mkdir -p ~/.kube && cp /opt/kubeconfig ~/.kube/config ;;
  "eks get-token") echo '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential",
    "status": {"token": "t0ken-of-aws"}}' ;;
esac
"""
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": ["eks", "get-token"],
          "interactiveMode": "Never"}  # fmt: skip


@pytest.fixture
def release(act: Act, repository: str, tmp_path: Path) -> str:
    """The layer of a release is in a registry, and `setup/` names it; gives its digest."""
    target = f"cpython-{PYTHON}-{platform.machine()}-linux-gnu"
    build("file", str(wheels_of(target, tmp_path / "wheels")), str(tmp_path / "lineal"))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.add(tmp_path / "lineal", "lineal")
    layer = gzip.compress(plain.getvalue(), 1)
    digest = f"sha256:{sha256(layer).hexdigest()}"
    host, _, name = f"{repository}-cli".partition("/")
    where = requests.post(f"http://{host}/v2/{name}/blobs/uploads/", timeout=300).headers["Location"]
    there = requests.put(where, params={"digest": digest}, data=layer, timeout=300)
    there.raise_for_status()
    act.setup = {"REGISTRY": f"http://{host}", "NAME": name, "LAYER_X64": digest, "LAYER_ARM64": digest}
    return digest


@pytest.fixture
def eks(act: Act, cluster: kube.Cluster, tmp_path: Path) -> None:
    """`aws` on the runner, by which a kubeconfig logs in; an action of AWS that does nothing."""
    action = {"name": "aws", "inputs": {"role-to-assume": {}, "aws-region": {}},
              "runs": {"using": "composite", "steps": [{"shell": "bash", "run": "true"}]}}  # fmt: skip
    (tmp_path / "aws-action").mkdir()
    (tmp_path / "aws-action/action.yml").write_text(json.dumps(action))
    act.actions["aws-actions/configure-aws-credentials@v6"] = tmp_path / "aws-action"
    config = yaml.safe_load(cluster.kubeconfig())
    config["users"][0]["user"] = {"exec": PLUGIN}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)
    volumes = {tmp_path / "aws": "/usr/local/bin/aws", tmp_path / "kubeconfig": "/opt/kubeconfig"}
    act.options += ["--container-options", " ".join(f"--volume {a}:{b}:ro" for a, b in volumes.items())]


@pytest.mark.long
def test_a_run_step_does_what_the_action_does_beside_the_programs_of_the_job(
    act: Act, cluster: kube.Cluster, release: str, eks: None
) -> None:
    act.install("github-setup.yml")
    run = act.succeed()
    assert f"lineal {__version__}" in run.said()
    shop = published(act, run.said())["shop"]
    assert deployed(cluster) == {"shop-production": f"{act.store}@{shop}"}
    # What the step after it has, and the page of the run.
    (outputs,) = (line for line in run.said(step="What is deployed now").splitlines() if line.startswith("{"))
    assert json.loads(outputs)["shop"]["digest"] == shop
    assert "t0ken-of-aws" not in run.said()


def test_a_layer_that_is_not_there_is_told(act: Act, repository: str, eks: None) -> None:
    host, _, name = repository.partition("/")
    act.setup = dict.fromkeys(("LAYER_X64", "LAYER_ARM64"), "sha256:" + "0" * 64)
    act.setup |= {"REGISTRY": f"http://{host}", "NAME": name}
    act.install("github-setup.yml")
    run = act.run()
    assert run.jobs == {"release": "failure"}
    assert "Lineal could not be fetched: HTTP Error 404" in run.said()
