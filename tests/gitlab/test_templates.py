"""What the component promises to those who include it, template by template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lineal import __version__
from tests import servers
from tests.gitlab.conftest import ROOT
from tests.gitlab.runner import Project

TEMPLATES = sorted((ROOT / "gitlab-ci/templates").glob("*.yml"))
KEYWORDS = {
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "before_script",
    "after_script",
}
"""Of a whole pipeline: in a component they would change jobs that are not its own."""
_LINEAL = """#!/bin/sh
# Notes what it was called with.
printf 'argument <%s>\\n' "$@"
env | grep -v '^LINEAL_JOB=' | grep -A3 '^LINEAL_' | sed 's/^/variable /'
case "$1 $3" in "plan gitlab") cp .lineal/job.yml ../../template.yml ;; esac
test ! -d .lineal || touch .lineal/report.json .lineal/lineal.env
"""


@pytest.fixture(params=TEMPLATES, ids=lambda path: path.stem)
def template(request: pytest.FixtureRequest) -> Path:
    path = request.param
    assert isinstance(path, Path)
    return path


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs, and the jobs as they are written."""
    head, body = yaml.safe_load_all(path.read_text())
    assert list(head) == ["spec"]
    assert list(head["spec"]) == ["inputs"]
    return head["spec"]["inputs"], body


def test_the_component_has_these_templates() -> None:
    assert [path.stem for path in TEMPLATES] == ["build", "cleanup", "converge", "plan"]


def test_every_input_is_described_and_used(template: Path) -> None:
    inputs, _ = documents(template)
    body = template.read_text().partition("\n---\n")[2]
    assert set(re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", body)) == set(inputs)
    for name, about in inputs.items():
        assert about["description"].endswith("."), name
        assert "default" in about, f"{name}: nothing is mandatory"
        assert len(about["description"]) < 300, name


def test_an_input_means_the_same_in_every_template() -> None:
    known: dict[str, Any] = {}
    for path in TEMPLATES:
        inputs, _ = documents(path)
        for name in inputs.keys() - {"job", "stage", "rules", "env", "image"}:
            assert known.setdefault(name, inputs[name]) == inputs[name], f"{path.name}: {name}"


def test_nothing_outside_the_jobs_is_touched(template: Path) -> None:
    _, body = documents(template)
    assert not KEYWORDS & body.keys()
    for name in body:
        assert "$[[ inputs." in name, "two inclusions have jobs of their own"


def test_no_input_is_part_of_a_script(template: Path) -> None:
    _, body = documents(template)
    scripts = [line for job in body.values() for line in job.get("script", [])]
    assert scripts
    assert not [line for line in scripts if "$[[" in line]


def test_the_image_has_the_version_of_the_templates(template: Path) -> None:
    inputs, _ = documents(template)
    without_helm = "" if template.stem == "converge" else "-build"
    assert inputs["image"]["default"] == f"registry.example.com/lineal:v{__version__}{without_helm}"


def test_what_is_pinned_in_pages_and_examples_is_that_version() -> None:
    pages = [*(ROOT / "examples/ci").glob("gitlab*.yml"), ROOT / "gitlab-ci/README.md", ROOT / "docs/gitlab.md"]
    pinned = {
        (path.name, version)
        for path in pages
        for version in re.findall(r"(?:lineal/\w+@|lineal/-/raw/|ref: \"?)(\d+\.\d+\.\d+)", path.read_text())
    }
    assert {version for _, version in pinned} == {__version__}, pinned


def test_a_deployment_is_not_interrupted_and_not_beside_another() -> None:
    _, body = documents(ROOT / "gitlab-ci/templates/converge.yml")
    job = body["$[[ inputs.job ]]"]
    assert job["interruptible"] is False
    assert job["resource_group"] == job["environment"]["name"]


@pytest.mark.parametrize("engine", ["dind", "socket", "buildkit", "remote", "none"])
def test_jobs_of_the_child_pipeline_have_the_same_engine(engine: str) -> None:
    _, build = documents(ROOT / "gitlab-ci/templates/build.yml")
    _, plan = documents(ROOT / "gitlab-ci/templates/plan.yml")
    wanted, job = build[f".$[[ inputs.job ]]:{engine}"], build["$[[ inputs.job ]]"]
    child = yaml.safe_load(plan[f".$[[ inputs.job ]]:{engine}"]["variables"]["LINEAL_JOB"])
    assert child.get("services") == wanted.get("services")
    assert child["variables"] == wanted.get("variables", {}) | {"GIT_DEPTH": job["variables"]["GIT_DEPTH"]}
    assert (child["image"], child["interruptible"]) == (job["image"], job["interruptible"])


def test_every_engine_has_its_part_and_a_service_is_where_its_address_says(template: Path) -> None:
    inputs, body = documents(template)
    if "engine" not in inputs:
        return
    parts = {name.partition(":")[2]: part for name, part in body.items() if name.startswith(".$[[ inputs.job ]]:")}
    assert list(parts) == inputs["engine"]["options"]
    part = parts["buildkit"]
    found = yaml.safe_load(part["variables"]["LINEAL_JOB"]) if "LINEAL_JOB" in part["variables"] else part
    (service,) = found["services"]
    # Rootless, in a container that is not privileged; the port is open for the job beside it.
    assert service["command"] == ["--oci-worker-no-process-sandbox", "--addr", "tcp://0.0.0.0:1234"]
    assert inputs["buildkit-address"]["default"] == f"tcp://{service['alias']}:1234"
    assert inputs["buildkit-image"]["default"] == "moby/buildkit:rootless"


HOSTILE = "a: \"$(touch /tmp/owned)\" 'b' `c`; d | # e"
"""In every input that Lineal reads: for YAML, for a shell, for both."""


@pytest.fixture
def project(repo: servers.Repository, component: Path, tmp_path: Path) -> Project:
    """A project without anything, and a `lineal` that only tells what it was given."""
    repo.write({"README": "", "templates.yml": ""})
    made = Project(repo, "team/empty", tmp_path / "home", {"CI_REGISTRY": "registry.example.com"})
    made.component(component)
    program = made.home / "bin/lineal"
    program.write_text(_LINEAL)
    program.chmod(0o755)
    return made


def include(project: Project, name: str, inputs: Mapping[str, str | bool]) -> None:
    address = f"$CI_SERVER_FQDN/projects/lineal/{name}@0.1.0"
    pipeline = {"stages": ["build", "deploy"], "include": [{"component": address, "inputs": inputs}]}
    project.repo.write({".gitlab-ci.yml": yaml.safe_dump(pipeline)})


@pytest.mark.parametrize("name", ["build", "cleanup", "converge"])
def test_every_value_reaches_lineal_as_it_is(project: Project, name: str) -> None:
    inputs, _ = documents(ROOT / f"gitlab-ci/templates/{name}.yml")
    ours = {"job", "stage", "rules", "image", "engine", "dind-image", "environment", "url", "images", "dry-run"}
    ours |= {"buildkit-image"}
    values = {key: f"{HOSTILE} {key}" for key in inputs.keys() - ours}
    more: dict[str, str | bool] = {"dry-run": True} if name == "cleanup" else {"engine": "remote"}
    include(project, name, {**values, **more})
    done = project.pipeline(variables={"CI_PIPELINE_SOURCE": "schedule"} if name == "cleanup" else None)
    assert done.code == 0, done.text
    said = done.said(f"lineal-{name}") + "\n"
    for key, value in values.items():
        lists = {"vars": "VAR", "secrets": "SECRET", "ignore-refs": "IGNORE_REF", "kube-contexts": "KUBE_CONTEXT",
                 "buildkit-address": "ENGINE"}  # fmt: skip
        variable = lists.get(key, key.upper().replace("-", "_"))
        text = f"buildkit:{value}" if key == "buildkit-address" else value
        assert f"variable LINEAL_{variable}={text}\n" in said, key


def test_lists_have_an_entry_a_line(project: Project) -> None:
    images = 'shop * --repo "$(id)"'
    include(project, "build", {"engine": "none", "vars": "a=1\nb=x y\n", "images": images})
    said = project.pipeline().said("lineal-build")
    assert "variable LINEAL_VAR=a=1\nvariable b=x y\n" in said
    arguments = re.findall(r"^argument <(.*)>$", said, re.MULTILINE)
    assert arguments == ["build", "--", *images.split()], "names, not options, files or commands"


def test_the_child_pipeline_is_given_the_same_values(project: Project) -> None:
    settings = {
        "vars": f"a={HOSTILE}\n  b: |\n- c",
        "secrets": "id=x,env=Y\n",
        "ssh": "default",
        "allow": "network.host",
        "env": "",
        "repo": "r.example.com/a/b",
    }
    include(
        project, "plan", {"engine": "socket", "image": "registry.example.com/$CI_PROJECT_NAME/lineal", **settings}
    )
    # The project's own variable may be secret.
    project.variables["LINEAL_VAR"] = "secret=yes"
    done = project.pipeline("lineal-plan")
    assert done.code == 0, done.text
    written = yaml.safe_load((done.folder / "template.yml").read_text())
    assert written["image"] == {"name": "registry.example.com/empty/lineal", "entrypoint": [""]}
    assert written["variables"] == {
        "DOCKER_HOST": "unix:///var/run/docker.sock",
        "GIT_DEPTH": "2",
        "LINEAL_REPO": settings["repo"],
        "LINEAL_ENV": "",
        "LINEAL_SSH": "default",
        "LINEAL_ALLOW": "network.host",
        "LINEAL_VAR": settings["vars"],
        "LINEAL_SECRET": settings["secrets"].rstrip("\n"),
        "LINEAL_LOCK": "",
    }
