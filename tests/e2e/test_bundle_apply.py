"""`lineal bundle apply` against a real API server with both Helms, and what it leaves: report, page, outputs."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.fixtures import APP, SECRET, Cluster
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.helms import HELM4_SOONER
from tests.runner.runner import file_command
from tests.tools import helm as binaries
from tests.unit.ci.github.summary.test_page import seen

pytestmark = [pytest.mark.registry, pytest.mark.helm]

FILES: dict[str, str | bytes | None] = {
    "lineal.yaml": "project: shop\nimages: {app: {}}\ndeploy: {chart: chart, values: [values.yaml]}\n",
    "Dockerfile": "FROM scratch\nCOPY file /\n",
    "file": "one\n",
    "values.yaml": "pods: ready\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
    "chart/templates/app.yaml": APP.replace(
        '.Values.text | default "none"', ".Values.global.lineal.images.app.digest"
    ),
    "chart/templates/secret.yaml": SECRET,
}


@dataclass
class Applied:
    """What a run left: its streams, its report, its page as people see it, its step's outputs."""

    stderr: str
    report: dict[str, Any]
    page: str
    outputs: dict[str, str]

    @property
    def text(self) -> str:
        """The page without its marks."""
        return html.unescape(re.sub("<[^>]+>", "", self.page))


@dataclass
class Shop:
    """The project whose bundles are published, and a place without a repository where they are installed."""

    project: Project
    away: Path
    namespace: str

    def publish(self, version: str) -> str:
        self.project.build()
        return self.project.run("bundle", "publish", "--version", version).stdout.strip()

    def apply(self, reference: str, *args: str, code: int = 0) -> Applied:
        files = {name: self.away / name for name in ("report", "page", "outputs")}
        for file in files.values():
            file.unlink(missing_ok=True)
        where = ["--release", "shop", "--namespace", self.namespace, "--timeout", "60s"]
        env = {"GITHUB_STEP_SUMMARY": str(files["page"]), "GITHUB_OUTPUT": str(files["outputs"])}
        told = ["--report", str(files["report"])]
        done = self.project.lineal("bundle", "apply", reference, *where, *told, *args, cwd=self.away, env=env)
        assert done.code == code and "Traceback" not in done.stderr and done.stdout == "", done.stderr
        outputs = dict(file_command(files["outputs"].read_text()))
        return Applied(done.stderr, json.loads(files["report"].read_text()), files["page"].read_text(), outputs)


@pytest.fixture(params=HELM4_SOONER)
def shop(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, repository: str, kubernetes: Cluster,
    namespace: str, tmp_path: Path,
) -> Shop:  # fmt: skip
    """One image of a file, its digest in the environment of a Deployment. No engine is needed for it."""
    binaries.fetch(binaries.directory())
    helm = str(binaries.directory() / request.param)
    lineal.env.update(NOWHERE | {"LINEAL_HELM": helm, "KUBECONFIG": str(kubernetes.kubeconfig)})
    repo.write(FILES)
    (tmp_path / "away").mkdir()
    return Shop(Project(repo, lineal, repository, tmp_path), tmp_path / "away", namespace)


def test_a_bundle_is_installed_left_alone_and_upgraded(shop: Shop, kubernetes: Cluster, namespace: str) -> None:
    first = shop.publish("1.0.0")
    image = shop.project.plan().report["images"][0]
    done = shop.apply(first)
    assert kubernetes.text(namespace, "shop") == image["digest"]
    assert "Deployment shop: 2 of 2 ready" in done.stderr
    assert "Release shop in namespace" in done.stderr and "0 stages" not in done.stderr
    release = done.report["release"]
    assert (release["name"], release["namespace"], release["status"]) == ("shop", namespace, "deployed")
    assert release["revision"] == 1 and release["told"] == ["It was installed as revision 1."]
    bundles = f"{shop.project.store}/small"
    assert done.report["bundle"] == {
        "reference": first, "name": "small", "version": "1.0.0", "commit": shop.project.repo.head(),
        "digest": Published(bundles).tags()["1.0.0"],
    }  # fmt: skip
    assert (done.report["project"], done.report["store"], done.report["context"]) == ("shop", bundles, None)
    assert done.report["images"][0]["ref"] == image["ref"] and done.report["requests"] > 0
    page = seen(done.page)
    assert page.heading == "✅ Deployed shop from the bundle 1.0.0."
    assert f"bundle 1.0.0 · commit {shop.project.repo.head()[:7]}" in done.text and image["digest"] in done.text
    assert set(done.outputs) == {"report", "images", "image", "digest"}
    assert json.loads(done.outputs["images"])["app"]["digest"] == done.outputs["digest"] == image["digest"]
    assert json.loads(Path(done.outputs["report"]).read_text()) == done.report

    before = kubernetes.versions(namespace)
    again = shop.apply(first)
    assert kubernetes.versions(namespace) == before and "so nothing is deployed" in again.stderr
    assert (again.report["release"]["status"], again.report["release"]["revision"]) == ("unchanged", 1)
    assert seen(again.page).heading == "✅ shop is as it was."

    shop.project.repo.write({"file": "two\n"})
    done = shop.apply(shop.publish("1.1.0"))
    assert kubernetes.releases(namespace) == {1: "superseded", 2: "deployed"}
    assert kubernetes.text(namespace, "shop") == done.outputs["digest"] != image["digest"]
    assert done.report["release"]["told"] == ["It was upgraded as revision 2."]
    assert done.report["bundle"]["version"] == "1.1.0"


def test_a_bundle_whose_pods_cannot_start_is_rolled_back(shop: Shop, kubernetes: Cluster, namespace: str) -> None:
    shop.apply(shop.publish("1.0.0"))
    there = kubernetes.text(namespace, "shop")
    shop.project.repo.write({"file": "two\n", "values.yaml": "pods: crash\n"})
    failed = shop.apply(shop.publish("2.0.0"), code=1)
    why = "CrashLoopBackOff: its container app ended with 2, restarted 4 times. It was rolled back"
    assert why in failed.stderr and why in failed.report["error"]["message"]
    assert failed.report["release"]["status"] == "rolled back"
    assert "panic: no database" in failed.report["release"]["log"]
    assert failed.report["bundle"]["version"] == "2.0.0"
    page = seen(failed.page)
    assert page.heading == "❌ shop 2.0.0 was not deployed. The release is as it was before."
    assert "panic: no database" in page.blocks[0] and why in failed.text
    assert "hunter2" not in failed.page + failed.stderr + json.dumps(failed.report)
    assert failed.outputs["report"]
    assert kubernetes.text(namespace, "shop") == there


def test_a_first_installation_that_fails_is_gone(shop: Shop, kubernetes: Cluster, namespace: str) -> None:
    failed = shop.apply(shop.publish("1.0.0"), "--set", "pods=unpulled", code=1)
    assert failed.report["release"]["status"] == "uninstalled"
    assert "ImagePullBackOff" in failed.stderr and kubernetes.releases(namespace) == {}
    assert seen(failed.page).heading == "❌ shop 1.0.0 was not deployed."
    reference = f"{shop.project.store}/small:1.0.0"
    shop.apply(reference)
    assert kubernetes.releases(namespace) == {1: "deployed"}
    on_the_server = ("--server-side", "--no-skip-unchanged")
    if shop.project.lineal.env["LINEAL_HELM"].endswith("helm3"):
        assert "`server_side` needs Helm 4" in shop.apply(reference, *on_the_server, code=3).stderr
        return
    shop.apply(reference, *on_the_server)
    owners = kubernetes.client.get("deployments", namespace, "shop")["metadata"]["managedFields"]
    assert ("helm", "Apply") in [(one["manager"], one["operation"]) for one in owners]


def test_what_is_known_of_a_bundle_that_is_not_there_is_told(shop: Shop, kubernetes: Cluster, namespace: str) -> None:
    reference = f"{shop.project.store}/small:9.9.9"
    failed = shop.apply(reference, code=1)
    assert failed.report["bundle"]["reference"] == reference and failed.report["bundle"]["commit"] is None
    assert failed.report["release"] is None and failed.report["images"] == []
    assert "There is no bundle" in failed.report["error"]["message"]
    page = seen(failed.page)
    assert page.heading == "❌ lineal bundle apply failed." and f"bundle {reference}" in failed.text
    assert set(failed.outputs) == {"report", "images"}


def test_files_that_could_not_be_written_are_refused_at_once(shop: Shop, kubernetes: Cluster, namespace: str) -> None:
    reference = f"{shop.project.store}/small:1.0.0"
    env = {"GITHUB_STEP_SUMMARY": str(shop.away / "page")}
    done = shop.project.lineal("bundle", "apply", reference, "--report", "no/report.json", cwd=shop.away, env=env)
    assert done.code == 3 and "There is no directory for the report no/report.json." in done.stderr
    assert seen((shop.away / "page").read_text()).heading == "❌ lineal bundle apply failed."
