"""`lineal dismiss`: a release goes, its namespace too if asked; both Helms, a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.client import Client, Refused
from tests.cluster.fixtures import Cluster
from tests.conftest import Lineal
from tests.forks import Result
from tests.helms import HELM4_SOONER
from tests.runner.runner import file_command
from tests.tools import helm as binaries

pytestmark = pytest.mark.helm

CONFIG = 'project: shop\ndeploy: {chart: chart, release: "shop-{{ env }}", namespace: "shop-{{ env }}"}\n'
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\n"
FILES: dict[str, str | bytes | None] = {
    "lineal.yaml": CONFIG,
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "chart/templates/settings.yaml": SETTINGS,
}
HOOK = """
apiVersion: batch/v1
kind: Job
metadata: {name: bye, annotations: {helm.sh/hook: pre-delete}}
spec:
  template:
    metadata: {annotations: {test/pods: never}}
    spec: {restartPolicy: Never, containers: [{name: bye, image: registry.example.com/bye:1}]}
"""


@pytest.fixture
def kubeconfig(kubernetes: Cluster) -> Path:
    return kubernetes.kubeconfig


@pytest.fixture
def cluster(kubernetes: Cluster) -> Client:
    return kubernetes.client


@pytest.fixture(params=HELM4_SOONER)
def shop(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, kubeconfig: Path, tmp_path: Path
) -> Lineal:
    """A project whose environments each test names after itself."""
    binaries.fetch(binaries.directory())
    lineal.env["LINEAL_HELM"] = str(binaries.directory() / request.param)
    lineal.env["KUBECONFIG"] = str(kubeconfig)
    lineal.env["LINEAL_REPO"] = f"layout:{tmp_path}/store"
    repo.write(FILES)
    return lineal


@pytest.fixture
def env(request: pytest.FixtureRequest) -> str:
    """An environment that no other test has."""
    digits = [str(number) for number, test in enumerate(request.session.items) if test is request.node]
    return f"review-{digits[0]}"


def done(result: Result, code: int = 0) -> Result:
    assert result.code == code, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    return result


def report(shop: Lineal, *args: str, code: int = 0) -> tuple[dict[str, Any], str, dict[str, str]]:
    """What `dismiss` leaves: its report, its page, its step's outputs."""
    files = {name: shop.home / name for name in ("report", "page", "outputs")}
    env = {"GITHUB_STEP_SUMMARY": str(files["page"]), "GITHUB_OUTPUT": str(files["outputs"])}
    done(shop("dismiss", *args, "--report", str(files["report"]), env=env), code)
    told = json.loads(files["report"].read_text()), files["page"].read_text(), files["outputs"].read_text()
    for file in files.values():
        file.unlink()
    return told[0], told[1], dict(file_command(told[2]))


def deployed(shop: Lineal, env: str, *args: str) -> None:
    result = shop("deploy", "--env", env, *args)
    assert result.code == 0, result.stderr


def test_a_release_goes_and_its_namespace_stays(shop: Lineal, cluster: Client, env: str) -> None:
    deployed(shop, env)
    name = f"shop-{env}"
    assert cluster.get("configmaps", name, name)
    said = done(shop("dismiss", "--env", env)).stderr
    assert f"Release {name} in namespace {name} was uninstalled" in said
    with pytest.raises(Refused, match="not found"):
        cluster.get("configmaps", name, name)
    assert cluster.get("namespaces", "", name)["status"]["phase"] == "Active"
    again = done(shop("dismiss", "--env", env)).stderr
    assert f"There is no release {name} in namespace {name}, so nothing is uninstalled." in again


def test_the_namespace_goes_too_if_asked(shop: Lineal, cluster: Client, env: str) -> None:
    deployed(shop, env)
    said = done(shop("dismiss", "--env", env, "--with-namespace")).stderr
    assert f"The namespace shop-{env} is being deleted" in said
    # It stays in this state: nothing here does the work of a controller manager.
    assert cluster.get("namespaces", "", f"shop-{env}")["status"]["phase"] == "Terminating"


def test_nothing_there_is_nothing_to_do(shop: Lineal, env: str) -> None:
    said = done(shop("dismiss", "--env", env, "--with-namespace")).stderr
    assert "so nothing is uninstalled." in said and f"There is no namespace shop-{env}, so none is deleted." in said


def test_a_namespace_with_another_release_is_kept(shop: Lineal, cluster: Client, env: str) -> None:
    deployed(shop, env)
    deployed(shop, env, "--release", "other")
    said = done(shop("dismiss", "--env", env, "--with-namespace"), code=1).stderr
    assert f"The namespace shop-{env} has other releases in it: other." in said
    assert cluster.get("configmaps", f"shop-{env}", f"shop-{env}"), "nothing was taken away"


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_a_namespace_of_the_cluster_is_kept(shop: Lineal, namespace: str) -> None:
    said = done(shop("dismiss", "--release", "x", "--namespace", namespace, "--with-namespace"), code=3).stderr
    assert f"The namespace {namespace} is the cluster's own" in said


def test_no_repository_is_needed_when_both_names_are_given(shop: Lineal, env: str, tmp_path: Path) -> None:
    deployed(shop, env)
    (tmp_path / "away").mkdir()
    names = ("--release", f"shop-{env}", "--namespace", f"shop-{env}")
    assert "was uninstalled" in done(shop("dismiss", *names, cwd=tmp_path / "away")).stderr
    assert "Error: " in done(shop("dismiss", "--release", "x", cwd=tmp_path / "away"), code=3).stderr


def test_what_became_of_the_release_is_reported(shop: Lineal, env: str) -> None:
    deployed(shop, env)
    told, page, outputs = report(shop, "--env", env, "--with-namespace")
    name = f"shop-{env}"
    release = told["release"]
    assert (release["name"], release["namespace"], release["status"]) == (name, name, "uninstalled")
    assert release["told"] == [f"The namespace {name} is being deleted, with all that is in it."]
    assert (told["command"], told["project"], told["context"], told["error"]) == ("dismiss", "shop", None, None)
    assert page.startswith(f"### ✅ Uninstalled <code>{name}</code>.\n") and "is being deleted" in page
    assert outputs == {"report": str(shop.home / "report")}
    told, page, _ = report(shop, "--release", name, "--namespace", f"{name}-x")
    assert (told["release"]["status"], told["project"]) == ("not deployed", None)
    assert page.startswith(f"### ✅ Nothing to uninstall: there is no <code>{name}</code>.\n")


def test_a_release_that_does_not_go_is_reported_as_it_is(
    shop: Lineal, repo: servers.Repository, cluster: Client, env: str
) -> None:
    repo.write({"chart/templates/hook.yaml": HOOK})
    deployed(shop, env)
    told, page, _ = report(shop, "--env", env, "--timeout", "2s", "--with-namespace", code=1)
    # Helm's own word for it. The hook's job never ends.
    assert told["release"]["status"] == "uninstalling" and told["error"]["code"] == 1
    assert page.startswith("### ❌ <code>lineal dismiss</code> failed.\n")
    message = told["error"]["message"]
    assert message.startswith(f"Release shop-{env} in namespace shop-{env} was not gone within 2 s (")
    assert cluster.get("namespaces", "", f"shop-{env}")["status"]["phase"] == "Active"


def test_who_may_not_is_told(shop: Lineal, cluster: Client, env: str, kubeconfig: Path) -> None:
    deployed(shop, env)
    said = done(shop("dismiss", "--env", env, env={"KUBECONFIG": str(kubeconfig.parent / "nobody")}), code=5).stderr
    assert "refused a request for release" in said
    assert cluster.get("configmaps", f"shop-{env}", f"shop-{env}")


def test_a_fork_s_pull_request_removes_nothing(shop: Lineal, env: str, tmp_path: Path) -> None:
    deployed(shop, env)
    head = {"repo": {"full_name": "else/fork", "fork": True}, "sha": "a" * 40, "ref": "x"}
    event = {"pull_request": {"number": 1, "head": head, "base": {"repo": {"full_name": "me/shop"}, "ref": "main"}}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    github = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "me/shop", "GITHUB_EVENT_NAME": "pull_request",
              "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_SHA": "b" * 40,
              "GITHUB_REF": "refs/pull/1/merge"}  # fmt: skip
    result = shop("dismiss", "--env", env, env=github)
    assert result.code == 1 and "so it removes no release" in result.stderr
