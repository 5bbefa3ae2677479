"""The built image as GitHub's runner starts it: inputs arrive whole, no secret shows, what it leaves is usable."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.runner.conftest import DOCKERFILE, World
from tests.runner.runner import TOKEN, Runner, action
from tests.runner.test_events import check
from tests.tools.kube import Cluster

KEY = "-----BEGIN KEY-----\n{\nkey line one\nkey line two\n}\n-----END KEY-----"
PASSWORD = servers.PASSWORD
CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "chart/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\n"
    "data: {image: {{ .Values.global.lineal.images.shop.image | quote }}, text: {{ .Values.text | quote }}}\n",
    "prod.yaml": "text: from a file\n",
}
PROJECT = 'project: shop\nimages: {shop: {args: {GREETING: "{{ vars.greeting | default("none") }}"}}}\n'


def with_secrets(base: str) -> str:
    return (
        f"FROM {base}\nARG GREETING\n"
        'RUN --mount=type=secret,id=key --mount=type=secret,id=short echo "$GREETING" > /greeting && '
        "cat /run/secrets/key && wc -l < /run/secrets/key > /lines && wc -c < /run/secrets/short >> /lines\n"
    )


@pytest.fixture
def locked_registry(gateway: str, tmp_path: Path) -> Iterator[str]:
    """Behind a password."""
    address = f"{gateway}:{servers.free_port(gateway)}"
    with servers.docker_registry(tmp_path / "locked", servers.HTPASSWD, address):
        yield address


def test_lists_and_secrets_of_several_lines_arrive_and_no_secret_is_seen(world: World, locked_registry: str) -> None:
    world.repo.write({"Dockerfile": with_secrets(f"{world.registry}/base:1"), "lineal.yaml": PROJECT})
    world.push("main")
    event = world.event("push", "refs/heads/main")
    inputs = {
        "command": "build",
        "images": "shop\n",
        "vars": "greeting=hello world\nother=x",
        "secrets": f'"key={KEY}"\nshort=12345\n',
        "repo": f"{locked_registry}/shop",
        "registry-username": servers.USER,
        "registry-password": PASSWORD,
        "args": "--jobs 1 --debug",
    }
    runner = world.runner(event)
    runner.env["LINEAL_INSECURE_REGISTRY"] += f"\n{locked_registry}"
    step = check(runner.run(event, inputs))
    lines = step.log.splitlines()
    masks = [line for line in lines if line.startswith("::add-mask::")]
    assert lines[: len(masks)] == masks, "before anything else"
    assert {PASSWORD, TOKEN, "key line one", "key line two", "12345"} <= set(step.masks)
    assert not {"{", "}", ""} & set(step.masks)
    for secret in (PASSWORD, TOKEN, "key line one", "key line two", "12345"):
        assert secret not in step.visible and secret not in step.summary
    assert "***" in step.visible, "what a RUN prints is masked by Lineal itself"
    result = step.outputs["image"] + ":" + step.images["shop"]["tag"] + "@" + step.outputs["digest"]
    assert result in step.visible.splitlines(), "stdout and stderr come by two pipes, in any order"
    plan = check(runner.run(event, {**inputs, "command": "plan", "args": "--exit-code"}))
    assert "1 image, 2 stages: 2 cached" in plan.log


def test_the_report_is_where_the_next_step_looks_for_it(world: World) -> None:
    event = world.event("push", "refs/heads/main")
    for mounts_temp in (True, False):
        runner = world.runner(event)
        runner.mounts_temp = mounts_temp
        step = check(runner.run(event, {"command": "plan"}))
        report = json.loads(runner.on_host(step.outputs["report"]).read_text())
        assert [image["name"] for image in report["images"]] == ["hello-world"]
        assert "hello-world" in step.summary
        assert json.loads(step.outputs["matrix"]) == {"include": [{"image": "hello-world"}]}


def test_converge_builds_deploys_and_leaves_no_kubeconfig(world: World, gateway: str) -> None:
    project = PROJECT + "deploy: {chart: chart}\n"
    dockerfile = DOCKERFILE.format(base=f"{world.registry}/base:1") + "ARG GREETING\nRUN true\n"
    world.repo.write({**CHART, "Dockerfile": dockerfile, "lineal.yaml": project})
    world.push("main")
    event = world.event("push", "refs/heads/main")
    runner = world.runner(event)
    cluster = Cluster(gateway)
    try:
        inputs = {
            "kubeconfig": base64.encodebytes(cluster.kubeconfig().encode()).decode(),
            "kube-context": "fake",
            "release": "web",
            "namespace": "prod",
            "env": "prod",
            "values": "prod.yaml",
            "set": "text=set wins",
        }
        step = check(runner.run(event, inputs))
        assert cluster.releases() == {"web.v1": "deployed"}
        config = cluster.objects["configmaps", "prod", "shop"]["data"]
    finally:
        cluster.close()
    assert config == {"image": step.images["shop"]["image"], "text": "set wins"}
    assert not [path for path in runner.work.rglob("*") if "kubeconfig" in path.name]
    rendered = check(runner.run(event, {"command": "render", "values": "prod.yaml", "env": "prod"}))
    assert "from a file" in rendered.log


def test_nothing_is_imported_or_run_from_the_workspace(world: World) -> None:
    trap = "raise SystemExit('the workspace was imported')\n"
    names = ["click.py", "lineal.py", "yaml.py", "sitecustomize.py", "lineal/__init__.py"]
    world.repo.write(dict.fromkeys(names, trap))
    world.push("main")
    event = world.event("push", "refs/heads/main")
    runner = world.runner(event)
    runner.env["PYTHONPATH"] = "/github/workspace"
    check(runner.run(event, {"command": "plan"}))


@pytest.mark.parametrize(
    "inputs, said",
    [
        ({"command": "bild"}, "The input `command` is `bild`, which is no command of Lineal. Did you mean `build`?"),
        ({"command": "converge", "images": "api"}, "The input `images` is for plan and build; converge is about all"),
        ({"working-directory": "../.."}, "The input `working-directory` is `../..`, which is not in the workspace."),
        ({"secrets": "s3cret-without-id"}, "Entry 1 of the input `secrets` does not begin with `ID=`."),
    ],
)
def test_a_wrong_input_is_one_sentence_and_an_annotation(
    action_image: str, tmp_path: Path, inputs: dict[str, str], said: str
) -> None:
    from tests.runner.runner import Event

    step = check(Runner(tmp_path, action_image).run(Event("push", "refs/heads/main", "0" * 40, {}), inputs), 3)
    assert f"Error: {said}" in step.log
    assert "::error::" in step.log
    assert "s3cret" not in step.visible


def test_without_a_repo_the_store_is_the_project_s_own_package(world: World) -> None:
    event = world.event("push", "refs/heads/main")
    runner = world.runner(event)
    runner.server, runner.env = "https://github.com", {}
    step = check(runner.run(event, {"command": "config"}))
    assert "repo: ghcr.io/codertocat/hello-world " in step.log


@pytest.mark.parametrize("folder", ["", "build"])
def test_every_input_and_output_is_described(folder: str) -> None:
    for part in ("inputs", "outputs"):
        for name, about in action(folder)[part].items():
            assert about["description"].strip(), name


def test_the_action_for_builds_lacks_what_is_for_helm_alone() -> None:
    whole, build = action(), action("build")
    for part, missing in (("inputs", {"values", "set", "release", "namespace"}), ("outputs", {"commit"})):
        assert build[part].keys() == whole[part].keys() - missing
        other = {name for name in build[part] if build[part][name] != whole[part][name]}
        assert other <= {"command", "kubeconfig"}
    assert (whole["inputs"]["command"]["default"], build["inputs"]["command"]["default"]) == ("converge", "build")
