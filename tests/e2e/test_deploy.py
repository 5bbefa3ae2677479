"""`plan --diff`, `deploy` and `converge` as people run them, against a real API server with both Helms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import servers
from tests.cluster.fixtures import APP, SECRET, Cluster
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.helms import HELM4_SOONER
from tests.tools import helm as binaries

FORK = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main",
        "GITHUB_REPOSITORY": "acme/shop"}  # fmt: skip
"""The job of a pull request that is not known to be of the project itself."""


@pytest.fixture(params=HELM4_SOONER)
def shop(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, kubernetes: Cluster, namespace: str,
    tmp_path: Path,
) -> Project:  # fmt: skip
    """One image of a file, its digest in the environment of a Deployment."""
    binaries.fetch(binaries.directory())
    layout = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    app = APP.replace('.Values.text | default "none"', ".Values.global.lineal.images.app.digest")
    layout.repo.write({
        "Dockerfile": "FROM scratch\nCOPY file /\n", "file": "one\n",
        "lineal.yaml": f"project: shop\nimages: {{app: {{}}}}\n"
                       f"deploy: {{chart: chart, release: shop, namespace: {namespace}, timeout: 60s}}\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
        "chart/templates/app.yaml": app, "chart/templates/secret.yaml": SECRET,
    })  # fmt: skip
    layout.lineal.env.update({
        **NOWHERE,
        "LINEAL_HELM": str(binaries.directory() / request.param), "KUBECONFIG": str(kubernetes.kubeconfig),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    })  # fmt: skip
    return layout


def test_plan_converge_and_plan_again(shop: Project, kubernetes: Cluster, namespace: str, tmp_path: Path) -> None:
    planned = shop.run("plan", "--diff", "--exit-code", code=2)
    assert "2 objects in the cluster would change: 2 created." in planned.stdout
    assert "create Deployment shop" in planned.stdout
    assert "sha256:(of the image to be built)" in planned.stdout
    assert "hunter2" not in planned.stdout + planned.stderr + (tmp_path / "summary.md").read_text()
    assert "**2 objects in the cluster would change" in (tmp_path / "summary.md").read_text()
    with pytest.raises(Exception, match="404"):
        kubernetes.client.get("namespaces", "", namespace)

    ran = shop.run("converge")
    assert ran.report["release"]["status"] == "deployed"
    assert kubernetes.text(namespace, "shop") == ran.digests["app"]
    assert "Deployment shop: 2 of 2 ready" in ran.stderr

    assert shop.run("plan", "--diff", "--exit-code").stdout.endswith("Nothing in the cluster would change.\n")
    again = shop.run("deploy")
    assert again.report["release"]["status"] == "unchanged"
    assert "so nothing is deployed" in again.stderr

    shop.repo.write({"file": "two\n"})
    plan = json.loads(shop.run("plan", "--diff", "--format", "json").stdout)
    (change,) = plan["changes"]
    assert (change["action"], change["kind"], change["name"]) == ("change", "Deployment", "shop")
    assert [line for line in change["diff"] if "(of the image to be built)" in line]


def test_a_failed_deploy_says_in_words_what_happened(shop: Project, tmp_path: Path) -> None:
    shop.run("converge")
    failed = shop.run("converge", "--set", "pods=crash", code=1)
    assert "CrashLoopBackOff: its container app ended with 2, restarted 4 times. It was rolled back" in failed.error
    page = (tmp_path / "summary.md").read_text()
    assert "was not deployed; its images are published. The release is as it was before." in page
    assert "panic: no database" in page
    assert failed.report["release"]["status"] == "rolled back"


def test_a_fork_does_not_ask_the_cluster(shop: Project, tmp_path: Path) -> None:
    """A chart may read there what it likes. What helm is asked for is only which version it has."""
    asked, helm = tmp_path / "asked", tmp_path / "helm"
    helm.write_text(f'#!/bin/sh\necho "$1" >>{asked}\nexec {shop.lineal.env["LINEAL_HELM"]} "$@"\n')
    helm.chmod(0o755)
    refused = shop.lineal("plan", "--diff", "--repo", shop.store, env=FORK | {"LINEAL_HELM": str(helm)})
    assert (refused.code, refused.stdout) == (1, "")
    assert "so it does not ask the cluster either. Leave --diff out" in refused.stderr
    assert set(asked.read_text().split()) == {"version"}


def test_options_of_a_release_are_for_diff(shop: Project) -> None:
    told = shop.run("plan", "--set", "a=b", code=3)
    assert told.error == "--set is for --diff. Give both, or neither."
    told = shop.run("plan", "--diff", "app", code=3)
    assert told.error == "--diff is about the whole release, and takes no IMAGE. Leave out one."
