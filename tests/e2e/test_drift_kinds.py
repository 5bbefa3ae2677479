"""Right after a deploy nothing has drifted, whatever kinds and spellings its manifests have."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lineal.deploy import drift
from lineal.deploy.helm import manifests
from lineal.deploy.helm.client import Helm
from lineal.deploy.release import Chart, Release
from lineal.kube.client import KubeClient
from tests.cluster.fixtures import Cluster
from tests.tools import helm as binaries

KINDS = Path(__file__).parents[1] / "cluster" / "kinds.yaml"


@pytest.mark.helm
@pytest.mark.parametrize(
    ("program", "flags"), [("helm3", []), ("helm4", ["--server-side=false"]), ("helm4", ["--server-side=true"])]
)
def test_what_was_just_deployed_has_not_drifted(
    kubernetes: Cluster, namespace: str, tmp_path: Path, program: str, flags: list[str]
) -> None:
    binaries.fetch(binaries.directory())
    (tmp_path / "chart/templates").mkdir(parents=True)
    (tmp_path / "chart/Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 0.1.0\n")
    shutil.copy(KINDS, tmp_path / "chart/templates")
    helm = Helm.find({
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(kubernetes.kubeconfig),
        "LINEAL_HELM": str(binaries.directory() / program),
    })  # fmt: skip
    release = Release(name="shop", namespace=namespace, chart=Chart("", ""))
    install = ["upgrade", "--install", "shop", str(tmp_path / "chart"), "--namespace", namespace, *flags]
    done = subprocess.run([helm.path, *install, "--create-namespace"], env=dict(helm.environ), capture_output=True)
    assert done.returncode == 0, done.stderr
    deployed = manifests.deployed(helm, release)
    assert deployed is not None and len(deployed.kinds) > 15
    found = drift.find(KubeClient.of_helm(helm.environ, None), release, deployed, str)
    assert (found.told, found.unknown) == ([], [])
