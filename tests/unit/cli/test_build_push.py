"""Inputs of build-push/: the call that they ask for, places on the runner, logins, and what is refused by name."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from lineal.cli.build_push import NAMES, masks, read
from lineal.cli.commands import cli
from lineal.errors import BadConfiguration

ROOT = Path(__file__).resolve().parents[3]
V7 = (
    "add-hosts allow annotations attests build-args build-contexts builder cache-from cache-to call cgroup-parent "
    "context file github-token labels load network no-cache no-cache-filters outputs platforms provenance pull push "
    "sbom secret-envs secret-files secrets shm-size ssh tags target ulimit"
)


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """A job whose workspace and directory of temporary files have other names on the runner."""
    for name in ("workspace/.git", "temp"):
        (tmp_path / name).mkdir(parents=True)
    return {
        "GITHUB_WORKSPACE": str(tmp_path / "workspace"), "LINEAL_ACTION_WORKSPACE": "/runner/shop/shop",
        "RUNNER_TEMP": str(tmp_path / "temp"), "LINEAL_ACTION_TEMP": "/runner/temp",
    }  # fmt: skip


def inputs(runner: dict[str, str], **given: str) -> dict[str, str]:
    text = json.dumps({name.replace("_", "-"): value for name, value in given.items()})
    return runner | {"LINEAL_BUILD_PUSH": text}


def flags(runner: dict[str, str], **given: str) -> list[str]:
    return read(inputs(runner, **given)).arguments[1:-2]


def test_the_action_has_the_inputs_and_outputs_of_the_other() -> None:
    ours = yaml.safe_load((ROOT / "build-push/action.yml").read_text())
    assert sorted(ours["inputs"]) == sorted(NAMES) == V7.split()
    assert sorted(ours["outputs"]) == ["digest", "imageid", "metadata"]


def test_each_input_is_its_flag(runner: dict[str, str]) -> None:
    found = flags(
        runner, push="true", load="false", tags="a:1,b:2\nc\n", build_args='A=1,2\n"B=two\nlines"\n', labels="x=y z",
        platforms="linux/amd64", add_hosts="a:1.1.1.1,b:2.2.2.2", ulimit="nofile=1:2", no_cache="TRUE",
        cache_from="type=gha", provenance="false", outputs="type=docker,dest=/runner/temp/x.tar",
    )  # fmt: skip
    assert found == [
        "--build-arg=A=1,2", "--build-arg=B=two\nlines", "--label=x=y z", "--ulimit=nofile=1:2",
        "--add-host=a:1.1.1.1", "--add-host=b:2.2.2.2", "--platform=linux/amd64", "--tag=a:1", "--tag=b:2", "--tag=c",
        "--cache-from=type=gha", "--provenance=false", "--push", "--no-cache",
        f"--output=type=docker,dest={runner['RUNNER_TEMP']}/x.tar",
    ]  # fmt: skip
    cli.commands["build"].make_context("build", [*found, "--", "."])


def test_places_of_the_runner_are_those_of_the_container(runner: dict[str, str]) -> None:
    workspace = runner["GITHUB_WORKSPACE"]
    call = read(
        inputs(
            runner, context="/runner/shop/shop/api", file="docker/api", build_contexts="web=web\na=docker-image://b"
        )
    )
    assert call.arguments[-1] == f"{workspace}/api"
    assert f"--file={workspace}/docker/api" in call.arguments
    assert [word for word in call.arguments if "context" in word] == [
        f"--build-context=web={workspace}/web", "--build-context=a=docker-image://b",
    ]  # fmt: skip
    below = read(inputs(runner, context="{{defaultContext}}:api", file="x"))
    assert (below.arguments[-1], below.clone) == (f"{workspace}/api", Path(workspace))
    assert f"--file={workspace}/api/x" in below.arguments
    assert below.environ["LINEAL_IGNORE_UNCOMMITTED"] == "true" and "LINEAL_IGNORE_UNCOMMITTED" not in call.environ


def test_a_clone_below_the_workspace_is_worked_in(runner: dict[str, str]) -> None:
    workspace = Path(runner["GITHUB_WORKSPACE"])
    (workspace / ".git").rmdir()
    (workspace / "src/.git").mkdir(parents=True)
    assert read(inputs(runner, context="src")).clone == workspace / "src"


def test_without_a_clone_the_commit_of_the_event_is_fetched(
    runner: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # it stays
    (Path(runner["GITHUB_WORKSPACE"]) / ".git").rmdir()
    origin = tmp_path / "acme/shop"
    git = ("git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "init", "-q", str(origin)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    place = {"GITHUB_SERVER_URL": f"file://{tmp_path}", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_SHA": head}
    clone = read(inputs(runner | place)).clone
    assert clone is not None and clone.name == "shop" and (clone / ".git").exists()
    with pytest.raises(BadConfiguration, match="actions/checkout"):
        read(inputs(runner | place | {"GITHUB_SHA": "0" * 40}))


def test_secrets_are_no_arguments(runner: dict[str, str]) -> None:
    environ = inputs(
        runner, secrets='a=hunter2\n"b=two\nlines"', secret_envs="c=VARIABLE,d=OTHER", secret_files="e=./f"
    )
    call = read(environ)
    assert call.environ["LINEAL_SECRET"].splitlines() == [
        "id=a,env=LINEAL_ACTION_SECRET_0", "id=b,env=LINEAL_ACTION_SECRET_1", "id=c,env=VARIABLE", "id=d,env=OTHER",
        f"id=e,src={runner['GITHUB_WORKSPACE']}/f",
    ]  # fmt: skip
    assert call.environ["LINEAL_ACTION_SECRET_1"] == "two\nlines"
    assert "hunter2" not in " ".join(call.arguments) and "LINEAL_BUILD_PUSH" not in call.environ
    assert masks(environ) == ["hunter2", "lines"]


def test_the_job_s_logins_beat_its_token(runner: dict[str, str]) -> None:
    auth = base64.b64encode(b"me:hunter2").decode()
    logins = base64.b64encode(json.dumps({"auths": {"hub.example.com": {"auth": auth}}}).encode()).decode()
    environ = inputs(runner, github_token="ghs_token") | {"LINEAL_BUILD_PUSH_LOGINS": logins}
    found = json.loads(read(environ).logins or b"")["auths"]
    assert found.keys() == {"hub.example.com", "ghcr.io"} and found["hub.example.com"] == {"auth": auth}
    assert {"hunter2", auth, "ghs_token"} <= set(masks(environ))


@pytest.mark.parametrize(
    "broken", ["", "!", base64.b64encode(b"[1]").decode(), base64.b64encode(b'{"auths": 1}').decode()]
)
def test_logins_that_cannot_be_read_are_none(runner: dict[str, str], broken: str) -> None:
    assert read(inputs(runner) | {"LINEAL_BUILD_PUSH_LOGINS": broken}).logins is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"push": "yes"}, "`push`"),
        ({"context": "https://me:hunter2@github.com/acme/app.git"}, "`context`"),
        ({"tags": '"a'}, "`tags`"),
        ({"build-args": '"a'}, "`build-args`"),
        ({"secret-files": "hunter2"}, "`secret-files`"),
        ({"secrets": "hunter2"}, "`secrets`"),
        ({"outputs": "type=oci,dest=/tmp/x"}, "next steps"),
    ],
)
def test_what_cannot_be_read_is_named(runner: dict[str, str], given: dict[str, str], said: str) -> None:
    with pytest.raises(BadConfiguration) as raised:
        read(inputs(runner, **given))
    assert said in str(raised.value) and "hunter2" not in str(raised.value)
