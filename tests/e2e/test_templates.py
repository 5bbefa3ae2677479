"""`render --template` and `deploy.templates`: any text that names images; `deploy.manifests` and `deploy.kustomize`
rendered."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.cluster.parts import kubectl
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.tools import helm as binaries

COMPOSE = """\
services:
  web:
    image: {{ images.web.image }}
    environment: {MODE: "{{ env }}"}
"""
NOMAD = """\
job "shop" {
  group "web" {
    task "web" {
      driver = "docker"
      config { image = "{{ images.web.image }}" }
    }
  }
}
"""
APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {say: "{{ braces }} stay"}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"""


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Project:
    project = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    lineal.env.update(NOWHERE)
    repo.write({
        "lineal.yaml": "project: shop\nimages: {web: {}}\n", "Dockerfile": "FROM scratch\nCOPY file /\n",
        "file": "one\n", "deploy/compose.yaml.j2": COMPOSE, "deploy/shop.nomad.hcl.j2": NOMAD,
    })  # fmt: skip
    project.build()
    return project


def configure(shop: Project, deploy: str, files: dict[str, str | bytes | None] | None = None) -> None:
    config = f"project: shop\nimages: {{web: {{}}}}\ndeploy: {deploy}\n"
    shop.repo.write({"lineal.yaml": config, **(files or {})})


def test_any_text_names_images_by_digest(shop: Project) -> None:
    ran = shop.run("render", "--template", "deploy/shop.nomad.hcl.j2")
    assert ran.stdout == NOMAD.replace("{{ images.web.image }}", ran.report["images"][0]["image"])
    composed = shop.run("render", "--env", "prod", "--template", "compose.yaml.j2", cwd=shop.repo.path / "deploy")
    assert yaml.safe_load(composed.stdout)["services"]["web"] == {
        "image": ran.report["images"][0]["image"], "environment": {"MODE": "prod"},
    }  # fmt: skip


def test_templates_of_the_configuration(shop: Project, tmp_path: Path) -> None:
    configure(shop, "{templates: [deploy/compose.yaml.j2, deploy/shop.nomad.hcl.j2]}")
    out = tmp_path / "out"
    ran = shop.run("render", "--env", "prod", "--output", str(out))
    assert ran.stdout.splitlines() == [f"{out}/compose.yaml", f"{out}/shop.nomad.hcl"]
    assert ran.digests["web"] in (out / "shop.nomad.hcl").read_text()  # type: ignore[operator]
    refused = shop.run("render", "--env", "prod", code=3)
    assert refused.error.startswith("compose.yaml, shop.nomad.hcl cannot be one text.")
    refused = shop.run("deploy", "--env", "prod", code=3)
    assert "`deploy.templates` are rendered, and Lineal deploys none of them." in refused.error
    refused = shop.run("render", "--env", "prod", "--no-hooks", code=3)
    assert refused.error.startswith("Templates are no manifests of a release.")


def test_templates_are_committed_to_another_repository(shop: Project, tmp_path: Path) -> None:
    target = servers.Repository.create(tmp_path / "target.git", "--bare")
    command = ["render", "--env", "prod", "--template", "deploy/compose.yaml.j2", "--to-git", str(target.path)]
    ran = shop.run(*command, "--branch", "main", "--path", "hosts/one")
    assert target.git("ls-tree", "-r", "--name-only", "main").splitlines() == [
        "hosts/one/.lineal-render", "hosts/one/compose.yaml",
    ]  # fmt: skip
    assert str(ran.digests["web"]) in target.git("show", "main:hosts/one/compose.yaml")


def test_templates_that_are_refused(shop: Project, tmp_path: Path) -> None:
    missing = shop.run("render", "--template", "deploy/nothing.j2", code=3)
    assert "The template deploy/nothing.j2 does not exist in the commit." in missing.error
    outside = shop.run("render", "--template", "/etc/passwd", code=3)
    assert outside.error.startswith("The template /etc/passwd is not in this repository.")
    shop.repo.write({"a/x.j2": "a", "b/x.j2": "b", "bad.j2": "{{ images.nothing.image }}\n"})
    twice = shop.run("render", "--template", "a/x.j2", "--template", "b/x.j2", code=3)
    assert twice.error.startswith("Two templates become x.")
    bad = shop.run("render", "--template", "bad.j2", code=3)
    assert "bad.j2:1" in bad.error
    shop.repo.put({"deploy/compose.yaml.j2": COMPOSE + "# changed\n"})
    changed = shop.run("render", "--env", "prod", "--template", "deploy/compose.yaml.j2", code=4)
    assert "deploy/compose.yaml.j2" in changed.error
    unused = shop.run("render", "--template", "a/x.j2")
    assert "No template uses the image web" in unused.stderr


def test_an_image_that_is_not_built_is_named(shop: Project) -> None:
    shop.repo.write({"file": "two\n"})
    told = shop.run("render", "--template", "deploy/shop.nomad.hcl.j2", code=1)
    assert "An image is missing for this commit: web" in told.error


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ("{chart: a, manifests: [b]}", "The release has `chart` and `manifests`."),
        ("{timeout: 5m}", "The release has nothing to deploy."),
        ("{manifests: [k8s], values: [v.yaml]}", "Values are for a chart."),
        ("{manifests: [../x]}", "`../x` leaves the repository."),
        ("{kustomize: /x}", "`/x` is outside the repository."),
        ("{templates: [/x]}", "`/x` is outside the repository."),
    ],
)
def test_a_release_is_made_of_one_thing(shop: Project, deploy: str, said: str) -> None:
    configure(shop, deploy)
    assert said in shop.run("plan", code=3).error


@pytest.mark.helm
def test_plain_manifests_render_as_they_are(shop: Project) -> None:
    binaries.fetch(binaries.directory())
    shop.lineal.env["LINEAL_HELM"] = str(binaries.directory() / "helm4")
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"
    configure(shop, "{manifests: [k8s, 'more.yaml.j2']}", {
        "k8s/app.yaml": APP, "k8s/sub/service.yml": service, "k8s/README.md": "no manifest\n",
        "more.yaml.j2": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: image}\n"
                        "data: {image: '{{ images.web.image }}'}\n",
    })  # fmt: skip
    ran = shop.run("render")
    objects = {one["kind"]: one for one in yaml.safe_load_all(ran.stdout)}
    assert set(objects) == {"Deployment", "Service", "ConfigMap"}
    assert objects["Deployment"]["metadata"]["annotations"]["say"] == "{{ braces }} stay"
    assert objects["ConfigMap"]["data"]["image"].endswith(f"@{ran.digests['web']}")
    refused = shop.run("render", "--set", "a=b", code=3)
    assert "--set (--set) is for a chart, and this project has none." in refused.error
    configure(shop, "{manifests: [docs]}", {"docs/README.md": "text\n"})
    empty = shop.run("render", code=3)
    assert "The directory `docs` has no manifests" in empty.error
    configure(shop, "{manifests: [nothing]}")
    missing = shop.run("render", code=3)
    assert "The manifest nothing does not exist in the commit." in missing.error


@pytest.mark.helm
@pytest.mark.skipif(kubectl() is None, reason="there is no kubectl")
def test_a_kustomization_gets_the_images(shop: Project) -> None:
    binaries.fetch(binaries.directory())
    shop.lineal.env["LINEAL_HELM"] = str(binaries.directory() / "helm4")
    shop.repo.write({
        "deploy/base/app.yaml": APP, "deploy/base/kustomization.yaml": "resources: [app.yaml]\n",
        "deploy/overlays/prod/kustomization.yaml": "resources: [../../base]\nnamePrefix: prod-\n",
    })  # fmt: skip
    configure(shop, '{kustomize: "deploy/overlays/{{ env }}"}')
    ran = shop.run("render", "--env", "prod")
    (deployment,) = yaml.safe_load_all(ran.stdout)
    assert deployment["metadata"]["name"] == "prod-web"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == ran.report["images"][0]["image"]
    shop.repo.put({"deploy/base/app.yaml": APP + "# changed\n"})
    assert "deploy/base/app.yaml" in shop.run("render", "--env", "prod", code=4).error
    shop.repo.git("checkout", "--quiet", ".")
    missing = shop.run("render", "--env", "test", code=3)
    assert "The kustomization deploy/overlays/test/kustomization.yaml does not exist" in missing.error
    for resource in (
        "https://example.com/app.yaml",
        "github.com/acme/base",
        "git@example.com:a/b",
        "../../../../etc",
    ):
        shop.repo.write({"deploy/overlays/prod/kustomization.yaml": f"resources: ['{resource}']\n"})
        refused = shop.run("render", "--env", "prod", code=3)
        assert "which is not in the commit" in refused.error or "outside of the repository" in refused.error
    shop.repo.write({"deploy/overlays/prod/kustomization.yaml":
                     "resources: [../../base]\nconfigMapGenerator: [{name: x, files: [/etc/passwd]}]\n"})  # fmt: skip
    assert "kustomize cannot build deploy/overlays/prod" in shop.run("render", "--env", "prod", code=1).error
