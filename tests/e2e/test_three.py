"""examples/three, whole: two parts with bundles of their own, and the shop that is made of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.tools import helm as binaries

pytestmark = [pytest.mark.registry, pytest.mark.helm]

ROOT = Path(__file__).resolve().parents[2]
THREE = ROOT / "examples/three"


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Path:
    binaries.fetch(binaries.directory())
    return binaries.directory() / str(request.param)


@pytest.fixture
def part(registry: str, repository: str, helm: Path, tmp_path: Path) -> Iterator[dict[str, Project]]:
    """The three repositories, each on a machine of its own; a registry of the test stands in for the example's."""
    base = repository.rpartition("/")[0]
    made = {}
    for name in ("api", "web", "shop"):
        repo = servers.Repository.create(tmp_path / name)
        shutil.copytree(THREE / name, repo.path, dirs_exist_ok=True)
        chart = repo.path / "chart/Chart.yaml"
        chart.write_text(chart.read_text().replace("registry.example.com", base))
        repo.git("add", "--all")
        repo.commit("As in the example")
        home = tmp_path / f"{name}-home"
        home.mkdir()
        lineal = Lineal(repo.path, home, NOWHERE | {"LINEAL_HELM": str(helm)})
        made[name] = Project(repo, lineal, f"{base}/shop-{name}", home)
    yield made


def published(project: Project, version: str, name: str) -> str:
    project.build()
    to = f"{project.store.rpartition('/')[0]}/charts/{name}"
    return project.run("bundle", "publish", "--version", version, "--to", to).stdout.strip()


def pinned(shop: Project, helm: Path) -> None:
    """`helm dependency update chart`, as the example's page says; the test's registry speaks http."""
    command = [str(helm), "dependency", "update", "chart", "--plain-http"]
    done = subprocess.run(command, cwd=shop.repo.path, env=shop.lineal.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(shop.repo.path / "chart/charts")
    shop.repo.git("add", "chart/Chart.lock")
    shop.repo.commit("Web 2.0.1")


def images(manifests: str) -> dict[str, str]:
    found = [document for document in yaml.safe_load_all(manifests) if document and document["kind"] == "Deployment"]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"] for one in found}


def test_one_application_from_three_repositories(part: dict[str, Project], helm: Path, tmp_path: Path) -> None:
    shop = part["shop"]
    host = shop.store.partition("/")[0]
    published(part["api"], "1.4.0", "api")
    published(part["web"], "2.0.1", "web")
    pinned(shop, helm)
    built = {name: part[name].plan().report["images"][0]["image"] for name in ("api", "web")}
    done = shop.run("render", "--env", "prod", "--insecure-registry", host)
    assert images(done.stdout) == {f"shop-prod-{name}": image for name, image in built.items()}
    assert 'environment: "prod"' in done.stdout and "replicas: 2" in done.stdout

    # A part goes on, and the shop stays as it is until it says otherwise.
    part["web"].repo.write({"content/about.txt": "a new web\n"})
    published(part["web"], "2.0.2", "web")
    assert shop.run("render", "--env", "prod", "--insecure-registry", host).stdout == done.stdout

    # The whole as one bundle, taken elsewhere.
    reference = shop.run("bundle", "publish", "--version", "5.0.0", "--insecure-registry", host).stdout.strip()
    with servers.docker_registry(tmp_path / "customer") as customer:
        copied = shop.lineal("bundle", "copy", reference, f"{customer}/all", cwd=tmp_path)
        assert copied.code == 0 and "still names" not in copied.stderr, copied.stderr
        assert set(Published(f"{customer}/all").tags().values()) == {
            part[name].contents.tags()[tag] for name in ("api", "web") for tag in part[name].contents.tags()
            if tag in Published(f"{customer}/all").tags()
        }  # fmt: skip
        assert len(Published(f"{customer}/all").tags()) == 2
        chart = copied.stdout.strip().rpartition(":5.0.0")[0]
        command = [str(helm), "template", "x", chart, "--version", "5.0.0", "--plain-http"]
        done_by_helm = subprocess.run(command, env=shop.lineal.environment(), capture_output=True, text=True)
        assert done_by_helm.returncode == 0, done_by_helm.stderr
        assert images(done_by_helm.stdout) == {
            "x-api": built["api"].replace(part["api"].store, f"{customer}/all"),
            "x-web": built["web"].replace(part["web"].store, f"{customer}/all"),
        }


def test_the_page_says_what_the_test_does() -> None:
    page = (THREE / "README.md").read_text()
    for command in ("lineal build --repo", "lineal bundle publish --version 1.4.0", "helm dependency update chart",
                    "lineal deploy --env prod"):  # fmt: skip
        assert command in page
