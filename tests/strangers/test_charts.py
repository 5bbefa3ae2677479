"""Charts that were written for helm alone: what Lineal gives them, what it makes of them, what it says of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran
from tests.tools import helm as binaries

pytestmark = [pytest.mark.helm, pytest.mark.server]

CONFIG = """\
project: shop
images: {app: {target: app}, base: {target: base}, web: {target: web, needs: {BASE: base}}}
deploy:
  chart: deploy/chart
  values: [images.yaml.j2]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, annotations: {sum: {{ toJson .Values | sha256sum }}}}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app, version: {{ .Values.short | quote }}}}
    spec: {containers: [{name: a, image: {{ .Values.image | quote }}}, {name: w, image: {{ .Values.web | quote }}}]}
"""
FILES: dict[str, str | bytes | None] = {
    "lineal.yaml": CONFIG,
    "Dockerfile": "ARG BASE=scratch\nFROM scratch AS app\nCOPY file /app\nFROM scratch AS base\nCOPY file /base\n"
    "FROM ${BASE} AS web\nCOPY file /web\n",
    "file": "one",
    "images.yaml.j2": 'image: "{{ images.app.image }}"\nweb: "{{ images.web.image }}"\n'
    'short: "{{ images.app.short }}"\n',
    "deploy/chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "deploy/chart/templates/app.yaml": DEPLOYMENT,
}


@pytest.fixture
def project(
    request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> Project:  # fmt: skip
    """Three images; `base` is only there for another one."""
    binaries.fetch(binaries.directory())
    name = getattr(request, "param", "helm4")
    lineal.env.update(NOWHERE | {"LINEAL_HELM": str(binaries.directory() / name)})
    repo.write(FILES)
    return Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)


BOTH = pytest.mark.parametrize("project", ["helm3", "helm4"], indirect=True)


def rendered(project: Project, files: dict[str, str | bytes | None], *args: str, code: int = 0) -> Ran:
    project.repo.write(files)
    project.build()
    return project.run("render", *args, code=code)


def deployment(ran: Ran) -> Any:
    return next(one for one in yaml.safe_load_all(ran.stdout) if one and one["kind"] == "Deployment")


def test_an_image_that_no_manifest_uses_is_named(project: Project) -> None:
    assert "warning" not in rendered(project, {"note": "1"}).stderr
    slip = str(FILES["images.yaml.j2"]).replace("image:", "imege:")
    ran = rendered(project, {"images.yaml.j2": slip})
    (warning,) = [line for line in ran.stderr.splitlines() if line.startswith("warning:")]
    assert "No manifest uses the image app (" in warning and "@sha256:" in warning
    by_tag = str(FILES["images.yaml.j2"]).replace("images.app.image", "images.app.repository }}:{{ images.app.tag")
    out = str(project.scratch / "out")
    assert (
        "use the image app by its tag, and not by"
        in rendered(project, {"images.yaml.j2": by_tag}, "--output", out).stderr
    )


def test_values_that_are_hashed_are_the_same_for_the_next_commit(project: Project) -> None:
    def sums(wanted: str) -> set[object]:
        config = CONFIG + f"  global: {wanted}\n"
        found = [rendered(project, {"lineal.yaml": config, "note": note}) for note in ("1", "2")]
        return {deployment(ran)["metadata"]["annotations"]["sum"] for ran in found}

    assert [len(sums(wanted)) for wanted in ("true", "images", "false")] == [2, 1, 1]


@BOTH
def test_a_schema_that_refuses_global_lineal_is_told_apart(project: Project) -> None:
    keys = {name: {"type": "string"} for name in ("image", "web", "short")}
    schema = json.dumps({"type": "object", "additionalProperties": False, "properties": keys})
    files: dict[str, str | bytes | None] = {"deploy/chart/values.schema.json": schema}
    told = rendered(project, files, code=3).error
    assert told.startswith("deploy/chart: The schema of the chart shop does not allow `global`: Lineal adds")
    assert told.endswith("Write `global: false` under `deploy` in lineal.yaml.")
    assert deployment(rendered(project, {"lineal.yaml": CONFIG + "  global: false\n"}))
    project.run("render", "--set", "mine=1", code=3)
    assert project.run("render", "--set", "mine=1", "--skip-schema-validation").code == 0


def test_a_value_of_global_that_means_nothing_is_refused(project: Project) -> None:
    project.repo.write({"lineal.yaml": CONFIG + "  global: image\n"})
    told = project.run("render", code=3).error
    assert told == "lineal.yaml:6: deploy.global: `image` is none of the possible values. Did you mean `images`?"


def test_a_schema_that_refers_to_the_web_is_refused_and_can_be_left_out(project: Project) -> None:
    files: dict[str, str | bytes | None] = {
        "deploy/chart/values.schema.json": '{"$ref": "https://127.0.0.1:1/s.json"}'
    }
    told = rendered(project, files, code=3).error
    assert told.startswith(
        "deploy/chart/values.schema.json: The schema refers to `https://127.0.0.1:1/s.json`, which"
    )
    assert "--skip-schema-validation" in told
    assert deployment(project.run("render", "--skip-schema-validation"))


def test_a_label_takes_a_short_text_for_an_image(project: Project) -> None:
    ran = rendered(project, {"note": "1"})
    labels = deployment(ran)["spec"]["template"]["metadata"]["labels"]
    assert labels["version"] in str(project.plan().digests["app"]) and len(labels["version"]) == 12


def test_apis_that_a_chart_asks_for(project: Project) -> None:
    text = (
        '{{ if .Capabilities.APIVersions.Has "monitoring.example.org/v1" }}\n'
        "apiVersion: monitoring.example.org/v1\nkind: Watcher\nmetadata: {name: w}\n{{ end }}"
    )
    ran = rendered(project, {"deploy/chart/templates/watch.yaml": text})
    assert "Watcher" not in ran.stdout
    assert "kind: Watcher" in project.run("render", "--api-versions", "monitoring.example.org/v1").stdout
    fails = text.replace("{{ end }}", '{{ else }}{{ fail "install it" }}{{ end }}')
    told = rendered(project, {"deploy/chart/templates/watch.yaml": fails}, code=1).error
    assert told.endswith("name those of the cluster with `--api-versions`, or give the value.")
    env = {"LINEAL_API_VERSIONS": "other.example.org/v1\nmonitoring.example.org/v1"}
    assert "kind: Watcher" in project.run("render", env=env).stdout


def test_charts_of_one_commit_share_a_library(project: Project) -> None:
    shared = (
        "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"
        "dependencies: [{name: words, version: 0.1.0, repository: 'file://../words'}]\n"
    )
    needs = "dependencies: [{name: lib, version: 0.1.0, repository: 'file://../../lib'}]\n"
    files: dict[str, str | bytes | None] = {
        "lib/Chart.yaml": shared,
        "lib/templates/_h.tpl": '{{ define "lib.team" }}{{ include "words.team" . }}{{ end }}',
        "words/Chart.yaml": "apiVersion: v2\nname: words\nversion: 0.1.0\ntype: library\n",
        "words/templates/_w.tpl": '{{ define "words.team" }}tea{{ end }}',
        "deploy/chart/Chart.yaml": f"{FILES['deploy/chart/Chart.yaml']!s}{needs}",
        "deploy/chart/templates/team.yaml": 'kind: Team\nmetadata: {name: {{ include "lib.team" . }}}\n',
    }  # fmt: skip
    assert "metadata: {name: tea}" in rendered(project, files).stdout
    (project.repo.path / "words/templates/_w.tpl").write_text("{{ define")
    assert "words/templates/_w.tpl" in project.run("render", code=4).stderr
    project.repo.git("checkout", ".")
    outside = str(files["deploy/chart/Chart.yaml"]).replace("../../lib", "../../../lib")
    told = rendered(project, {"deploy/chart/Chart.yaml": outside}, code=3).error
    assert "The dependency `lib` lies outside the commit (file://../../../lib)." in told


def test_no_reader_of_manifests_takes_the_list_of_files(project: Project) -> None:
    """`kubectl apply -R` and Argo CD take .json, .yaml and .yml, hidden ones too."""
    out = project.scratch / "out"
    rendered(project, {"note": "1"}, "--output", str(out))
    files = [path for path in out.rglob("*") if path.is_file()]
    read = [path for path in files if path.suffix in (".json", ".yaml", ".yml")]
    assert [path.name for path in read] == ["app.yaml"] and len(files) == 2
    assert yaml.safe_load(read[0].read_text())["kind"] == "Deployment"
    (out / ".lineal-render").rename(out / ".lineal-render.json")
    project.run("render", "--output", str(out))
    assert not (out / ".lineal-render.json").exists()


def test_kubectl_takes_what_is_rendered(project: Project) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl on this machine")
    out = project.scratch / "out"
    rendered(project, {"note": "1"}, "--output", str(out))
    command = [kubectl, "create", "-R", "-f", str(out), "--dry-run=client", "--validate=false", "-o", "name"]
    done = subprocess.run(command, capture_output=True, text=True, env={"KUBECONFIG": "/dev/null", "HOME": str(out)})
    assert "apiVersion not set" not in done.stderr
