"""Bundles that strangers take: plain Helm, Argo CD, a customer without internet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.helms import HELMS
from tests.tools import helm as binaries
from tests.unit.deploy.bundle.test_bundle import DIGEST, IMAGE, NEW, OLD, bundle

from lineal.deploy.bundle.relocate import Relocation  # isort: skip

pytestmark = [pytest.mark.registry, pytest.mark.helm, pytest.mark.server]
PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
    - {name: a, image: "{{ .Values.image.registry }}/{{ .Values.image.image }}@{{ .Values.image.digest }}"}
    - {name: b, image: "OTHER"}
    - {name: c, image: "{{ .Values.cache.registry }}/{{ .Values.cache.repository }}:{{ .Values.cache.tag }}"}
"""
SHOWN = """\
kind: Shown
metadata: {name: '{{ .Chart.Name }}'}
values: {{ omit .Values "global" | toJson | quote }}
"""
FILES: dict[str, str | bytes | None] = {
    "lineal.yaml": "project: shop\nimages: {app: {}}\n"
    "deploy: {chart: chart, values: [values.yaml, images.yaml.j2]}\n",
    "Dockerfile": "FROM scratch\nCOPY file /\n",
    "file": "one",
    "values.yaml": "sub: {port: null, limits: {cpu: null}, deep: {words: {gone: null}}}\nmine: null\nextra: null\n",
    "images.yaml.j2": 'image: "{{ images.app.image }}"\n',
    "chart/Chart.yaml": "apiVersion: v2\nname: api\nversion: 0.1.0\n",
    "chart/values.yaml": "image:\nextraArgs:\nextra: 1\nsub: {limits: {memory: 3}}\n",
    "chart/templates/shown.yaml": SHOWN,
    "chart/charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
    "chart/charts/sub/templates/shown.yaml": SHOWN,
    "chart/charts/sub/values.yaml": "port: 80\nlimits: {cpu: 1, memory: 2}\ndeep: {words: {gone: 1}}\n",
    "chart/charts/sub/charts/deep/Chart.yaml": "apiVersion: v2\nname: deep\nversion: 0.1.0\n",
    "chart/charts/sub/charts/deep/templates/shown.yaml": SHOWN,
    "chart/charts/sub/charts/deep/values.yaml": "words: {gone: 1, kept: 2}\n",
}


def helm(project: Project, name: str, *command: str) -> str:
    program = str(binaries.directory() / name)
    done = subprocess.run([program, *command], env=project.lineal.environment(), capture_output=True, text=True,
                          cwd=project.scratch)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    binaries.fetch(binaries.directory())
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(binaries.directory() / "helm4")})
    repo.write(FILES)
    made = Project(repo, lineal, repository, tmp_path)
    made.build()
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    with servers.docker_registry(tmp_path / "elsewhere") as address:
        yield address


def plain(value: Any) -> Any:
    return {key: plain(part) for key, part in value.items() if part is not None} if isinstance(value, dict) else value


def shown(manifests: str) -> dict[str, Any]:
    found = [one for one in yaml.safe_load_all(manifests) if one and one["kind"] == "Shown"]
    return {one["metadata"]["name"]: plain(json.loads(one["values"])) for one in found}


def test_a_bundle_is_the_same_with_both_helms_and_keeps_what_null_takes_away(project: Project) -> None:
    made = {}
    for name in HELMS:
        env = {"LINEAL_HELM": str(binaries.directory() / name)}
        made[name] = project.run("bundle", "publish", "--version", "1.0.0", env=env)
        assert shown(project.run("render", env=env).stdout)["sub"]["limits"] == {"memory": 3}
    assert made["helm3"].stdout == made["helm4"].stdout and "is published already" in made["helm4"].stderr
    for name in HELMS:
        found = shown(helm(project, name, "template", "x", f"oci://{project.store}/api", "--version", "1.0.0",
                           "--plain-http"))  # fmt: skip
        assert "port" not in found["sub"] and found["sub"]["limits"] == {"memory": 3}
        assert found["deep"]["words"] == {"kept": 2} and "extra" not in found["api"]


def test_a_bundle_is_found_by_the_chart_s_name(project: Project) -> None:
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    assert reference.startswith(f"oci://{project.store}/api:1.0.0@sha256:")
    digest = reference.rpartition("@")[2]
    assert digest in Published(f"{project.store}/bundle").tags().values(), "where cleanup looks"
    (project.scratch / "all").mkdir()
    for name in HELMS:
        (project.scratch / "all/Chart.yaml").write_text(
            "apiVersion: v2\nname: all\nversion: 0.1.0\n"
            f'dependencies: [{{name: api, version: 1.0.0, repository: "oci://{project.store}"}}]\n'
        )
        helm(project, name, "dependency", "update", "all", "--plain-http")
        assert "api" in shown(helm(project, name, "template", "x", "all"))
    other = project.run("bundle", "publish", "--version", "1.0.0", "--to", f"{project.store}/other")
    assert "does not end in the chart's name, api" in other.stderr


def test_two_charts_have_their_versions_apart(project: Project) -> None:
    project.run("bundle", "publish", "--version", "1.0.0")
    project.repo.write({"chart/Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n"})
    second = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    assert f"{project.store}/web:1.0.0@" in second
    assert second.rpartition("@")[2] in Published(f"{project.store}/bundle").tags().values()


def test_a_bundle_without_global_lineal_is_installed_and_copied(project: Project, elsewhere: str) -> None:
    schema = {"type": "object", "additionalProperties": False, "properties": {"image": {}, "sub": {}, "mine": {},
              "extra": {}, "extraArgs": {}}}  # fmt: skip
    config = str(FILES["lineal.yaml"]).replace("{chart: chart,", "{chart: chart, global: false,")
    project.repo.write({"lineal.yaml": config, "chart/values.schema.json": json.dumps(schema)})
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/customer", cwd=project.scratch)
    assert done.code == 0 and done.stdout.startswith(f"oci://{elsewhere}/customer/api:1.0.0@"), done.stderr
    found = helm(project, "helm4", "template", "x", f"oci://{elsewhere}/customer/api", "--version", "1.0.0",
                 "--plain-http")  # fmt: skip
    assert f"{elsewhere}/customer@sha256:" in found and project.store not in found
    refused = project.lineal("bundle", "apply", done.stdout.strip(), "--env", "prod", cwd=project.scratch,
                             env={"KUBECONFIG": "/nowhere/kubeconfig"})  # fmt: skip
    assert refused.code == 5 and "schema" not in refused.stderr, refused.stderr


# --- copy -----------------------------------------------------------------------------------------------------------


def with_pods(project: Project, other: str, images: str, **files: str | bytes | None) -> str:
    host, _, path = project.store.partition("/")
    registry = f"cache: {{registry: {host}, repository: {path.rpartition('/')[0]}/cache, tag: '8'}}\n"
    project.repo.write({"chart/templates/pods.yaml": PODS.replace("OTHER", other), "chart/templates/shown.yaml": None,
                        "values.yaml": registry, "images.yaml.j2": images, **files})  # fmt: skip
    return project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()


SPLIT = """\
image:
  registry: "{{ images.app.repository.split('/', 1)[0] }}"
  image: "{{ images.app.repository.split('/', 1)[1] }}"
  digest: "{{ images.app.digest }}"
"""


def test_images_of_others_are_named_and_copied_on_request(project: Project, elsewhere: str, tmp_path: Path) -> None:
    namespace = project.store.rpartition("/")[0]
    redis, cache = f"{namespace}/redis:8", f"{namespace}/cache:8"
    for one in (redis, cache):
        servers.push_base_image(one, tmp_path / one.rpartition("/")[2].partition(":")[0])
    reference = with_pods(project, redis, SPLIT)
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/a/shop", cwd=project.scratch)
    assert done.code == 0, done.stderr
    assert f"uses images of others, which stay where they are: {cache}, {redis}." in done.stderr
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/b/shop", "--all-images", cwd=project.scratch)
    assert done.code == 0, done.stderr
    found = helm(project, "helm3", "template", "x", f"oci://{elsewhere}/b/shop/api", "--version", "1.0.0",
                 "--plain-http")  # fmt: skip
    (pod,) = [one for one in yaml.safe_load_all(found) if one["kind"] == "Pod"]
    images = [one["image"] for one in pod["spec"]["containers"]]
    path = namespace.partition("/")[2]
    digest = project.plan().digests["app"]
    assert images == [f"{elsewhere}/b/shop@{digest}", f"{elsewhere}/b/shop/{path}/redis:8",
                      f"{elsewhere}/b/shop/{path}/cache:8"]  # fmt: skip
    assert "8" in Published(f"{elsewhere}/b/shop/{path}/redis").tags()
    again = project.lineal("bundle", "copy", reference, f"{elsewhere}/b/shop", "--all-images", cwd=project.scratch)
    assert (again.code, again.stdout) == (0, done.stdout), again.stderr


def test_an_image_that_cannot_be_moved_ends_the_copy(project: Project, elsewhere: str) -> None:
    """The registry stands elsewhere than the name: nobody knows what else uses it."""
    apart = SPLIT.replace("image:\n  registry:", "global: {imageRegistry: x}\nimage:\n  registry: '' #")
    apart = apart.replace("x}", "\"{{ images.app.repository.split('/', 1)[0] }}\"}")
    pods = PODS.replace(".Values.image.registry", ".Values.global.imageRegistry").replace("OTHER", "redis:8")
    reference = with_pods(project, "redis:8", apart, **{"chart/templates/pods.yaml": pods})
    done = project.lineal("bundle", "copy", reference, f"{elsewhere}/customer", cwd=project.scratch)
    assert done.code == 1 and "would still use the old place: " in done.stderr, done.stderr
    assert "global.imageRegistry" in done.stderr and done.stdout == ""
    assert Published(f"{elsewhere}/customer/api").tags() == {}


HOST, _, PATH = OLD.partition("/")
SHAPES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"registry": HOST, "image": PATH}, {"registry": "new.example.org", "image": "shop"}),
    ({"registry": HOST, "name": PATH, "tag": "x"}, {"registry": "new.example.org", "name": "shop", "tag": "x"}),
    ({"host": HOST, "path": PATH}, {"host": "new.example.org", "path": "shop"}),
    ({"repository": f"{HOST}/team", "name": "app"}, {"repository": "new.example.org", "name": "shop"}),
    ({"registry": HOST, "repository": f"{PATH}:tag-1@{DIGEST}"},
     {"registry": "new.example.org", "repository": f"shop:tag-1@{DIGEST}"}),
    ({"registry": HOST, "name": "shop", "repository": PATH},
     {"registry": "new.example.org", "name": "shop", "repository": "shop"}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_values_side_by_side_that_together_name_an_image_are_moved(old: dict[str, Any], new: dict[str, Any]) -> None:
    relocation = Relocation({"app": IMAGE}, NEW)
    moved = relocation.bundle(bundle({"image": old}))
    assert moved.values["image"] == new
    assert relocation.broken(moved, []) == []


STUCK: list[dict[str, Any]] = [
    {"global": {"imageRegistry": HOST}, "image": {"repository": PATH}},
    {"image": {"registry": HOST, "of": {"path": PATH}}},
    {"image": {"registry": HOST, "team": "team", "app": {"name": "app"}}},
]


@pytest.mark.parametrize("values", STUCK)
def test_a_registry_that_stands_alone_is_not_left_unsaid(values: dict[str, Any]) -> None:
    values = {key: value for key, value in values.items() if key != "global"} | (
        {"settings": values["global"]} if "global" in values else {}
    )
    relocation = Relocation({"app": IMAGE}, NEW)
    assert relocation.broken(relocation.bundle(bundle(values)), []) != []
    other: dict[str, object] = {"cache": {"registry": HOST, "repository": "other/cache"}}
    assert relocation.broken(relocation.bundle(bundle(other)), []) == []
