"""Images that are tests or tools: nothing is finished, tagged or deployed before the required ones have built."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.tools import helm

pytestmark = pytest.mark.helm

CONFIG = """\
project: shop
images:
  api: {dockerfile: api.Dockerfile, requires: [tests]}
  tests: {dockerfile: tests.Dockerfile, needs: {API: api}, publish: false}
publish: {to: [FINAL/{{ image }}], tags: [latest, "sha-{{ git.short }}"]}
deploy: {chart: chart, values: [values.yaml.j2]}
"""
TESTS = "ARG API\nFROM scratch AS check\nCOPY result /result/\nFROM $API\nCOPY --from=check /result/passed /\n"
"""They fail in the build, as a command would: `passed` is there or not."""
CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    "chart/templates/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: api}\n"
    "spec: {containers: [{name: api, image: {{ .Values.image }}}]}\n",
    "values.yaml.j2": "image: {{ images.api.ref }}\n",
}


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, registry: str, tmp_path: Any) -> Project:
    helm.fetch(helm.directory())
    lineal.env |= {**NOWHERE, "LINEAL_HELM": str(helm.directory() / "helm4")}
    return Project(repo, lineal, f"{registry}/requires-{secrets.token_hex(6)}/stages", tmp_path)


@pytest.fixture
def final(registry: str) -> str:
    return f"{registry}/final-{secrets.token_hex(6)}"


def commit(project: Project, final: str, *, passing: bool) -> str:
    return project.repo.write(
        {
            "lineal.yaml": CONFIG.replace("FINAL", final),
            "api.Dockerfile": "FROM scratch\nCOPY app /\n",
            "app": "the application",
            "tests.Dockerfile": TESTS,
            "result/passed" if passing else "result/failed": "",
            "result/failed" if passing else "result/log": "",
            **CHART,
        }
    )


@pytest.mark.parametrize("named", [(), ("api",)], ids=["everything", "the image alone"])
def test_nothing_is_finished_or_tagged_before_the_tests_have_built(
    project: Project, final: str, named: tuple[str, ...]
) -> None:
    commit(project, final, passing=False)
    failed = project.build(*named, code=1)
    assert "result/passed" in failed.error
    assert next(image for image in failed.report["images"] if image["name"] == "api")["ref"] is None
    assert Published(f"{final}/api").tags() == {}
    assert "missing for this commit: api, tests" in project.run("render", code=1).error

    passed = commit(project, final, passing=True)
    ran = project.build(*named)
    names = {tag for tag in Published(f"{final}/api").tags() if not tag.startswith("sha256-")}
    assert names == {"latest", f"sha-{passed[:7]}"}
    assert Published(f"{final}/tests").tags() == {}
    assert f"{final}/api:latest@" in project.run("render").stdout
    tests = next(image for image in ran.report["images"] if image["name"] == "tests")
    assert tests["ref"].startswith(project.store) and tests["tags"] == []


def test_what_was_tested_is_what_is_tagged(project: Project, final: str) -> None:
    commit(project, final, passing=True)
    tests = project.build("tests").stdout.strip().partition("@")[2]
    assert project.build("api").report["images"][0]["built"] is False, "another job has built it"
    tagged = [layer["digest"] for layer in Published(f"{final}/api").json("latest")["layers"]]
    assert project.contents.layers(tests)[: len(tagged)] == tagged


def test_plans_show_what_is_required_and_one_job_builds_both(project: Project, final: str) -> None:
    commit(project, final, passing=True)
    planned = project.plan()
    assert [(image["name"], image["requires"]) for image in planned.report["images"]] == [
        ("api", ["tests"]),
        ("tests", []),
    ]
    assert "requires tests" in planned.stdout
    assert json.loads(project.plan("--format", "matrix").stdout) == {"include": [{"image": "api"}]}
    assert "lineal build api" in (jobs := project.plan("--format", "gitlab").stdout) and "build tests" not in jobs


def test_a_circle_and_an_unknown_name_are_refused_with_their_lines(project: Project) -> None:
    project.repo.write(
        {
            "lineal.yaml": "project: shop\nimages:\n  api: {}\n  web:\n    requires: [tests]\n"
            "  tests:\n    requires: [web]\n  lone:\n    requires: [test]\n",
            "Dockerfile": "FROM scratch\nCOPY . /\n",
        }
    )
    error = project.run("plan", code=3).stderr
    assert "lineal.yaml:9: images.lone.requires[0]: There is no image `test`. Did you mean `tests`?" in error
    circle = "The images require each other in a circle: `web -> tests -> web`"
    assert f"lineal.yaml:5: images.web.requires[0]: {circle}" in error
