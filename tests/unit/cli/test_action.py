"""Inputs of the GitHub Action: the call that they ask for, and the files that it gets for its time."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lineal.cli.action import _private_files, read
from lineal.cli.commands import cli
from lineal.errors import BadConfiguration
from lineal.store.registry.credentials import find_credential
from tests import servers

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60)
PLAIN = ["repo", "env", "values", "set", "vars", "release", "namespace", "kube-context", "lock", "engine",
         "platform", "ssh", "registry-username", "registry-password"]  # fmt: skip


def variable(name: str) -> str:
    return {"vars": "LINEAL_VAR"}.get(name, "LINEAL_" + name.upper().replace("-", "_"))


def inputs(**given: str) -> dict[str, str]:
    return {"INPUT_" + name.upper().replace("_", "-"): value for name, value in given.items()}


@given(st.dictionaries(st.sampled_from(PLAIN), TEXT), st.dictionaries(st.sampled_from(PLAIN), TEXT))
def test_an_input_beats_the_job_s_variable_and_an_empty_one_leaves_it(
    given: dict[str, str], job: dict[str, str]
) -> None:
    environ = {f"INPUT_{name.upper()}": text for name, text in given.items()}
    environ |= {variable(name): text for name, text in job.items()}
    call = read(environ)
    for name in PLAIN:
        text = given.get(name, "")
        assert call.environ.get(variable(name)) == (text if text.strip() else job.get(name))
    assert not [name for name in call.environ if name.startswith("INPUT_")]
    assert call.arguments == ["converge"]


WORD = st.from_regex(r"[A-Za-z0-9=._/:$`*-][A-Za-z0-9=._/:$`*' -]*", fullmatch=True)


@given(st.lists(WORD), st.lists(st.from_regex(r"-?[a-z][a-z0-9-]*", fullmatch=True)))
def test_args_are_words_and_images_never_options(words: list[str], images: list[str]) -> None:
    call = read(inputs(command="build", args=" ".join(map(shlex.quote, words)), images="\n".join(images)))
    assert call.arguments == ["build", *words, *(["--", *images] if images else [])]


ID = st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True)
LINE = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=30)


@given(st.dictionaries(ID, st.lists(LINE, min_size=1, max_size=4).map("\n".join), max_size=4))
@example({"KEY": '-----BEGIN-----\n"quoted"\n\n-----END-----'})
def test_secrets_become_private_variables_whatever_is_in_them(secrets: dict[str, str]) -> None:
    entries = []
    for name, value in secrets.items():
        entry = f"{name}={value}"
        entries.append('"' + entry.replace('"', '""') + '"' if "\n" in value else entry)
    call = read(inputs(secrets="\n".join(entries)))
    named = [line.split(",env=") for line in call.environ.get("LINEAL_SECRET", "").splitlines()]
    assert {name.removeprefix("id="): call.environ[env] for name, env in named} == secrets
    assert call.arguments == ["converge"]
    assert not any(value in repr(call) for value in secrets.values() if len(value) > 12)


@pytest.mark.parametrize(
    "text, said",
    [
        ("hush-hush", "Entry 1 of the input `secrets` does not begin with `ID=`."),
        ("a=1\n=hush-hush", "Entry 2 of the input `secrets` does not begin with `ID=`."),
        ("a b=hush-hush", "Entry 1 of the input `secrets` does not begin with `ID=`."),
        ('a=1\n"b=hush-hush\nmore', "Entry 2 of the input `secrets` begins with a quote that is never closed."),
        ('"b=hush-hush" c=2', "Entry 1 of the input `secrets` goes on behind its closing quote."),
    ],
)
def test_a_wrong_list_of_secrets_is_refused_without_quoting_it(text: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        read(inputs(secrets=text))
    assert str(caught.value).startswith(said)
    assert "hush" not in str(caught.value)


def test_every_command_is_known_and_others_are_refused() -> None:
    for command in cli.commands:
        assert read(inputs(command=command)).arguments == [command]
    for wrong in ("bild", "build --jobs 2", "--version", "build\nplan"):
        with pytest.raises(BadConfiguration, match="which is no command of Lineal"):
            read(inputs(command=wrong))
    with pytest.raises(BadConfiguration, match="`args` cannot be split into words"):
        read(inputs(args="--set 'a"))


KUBECONFIG = "apiVersion: v1\nclusters: []\nusers: [{name: a, user: {token: cluster-token}}]\n"


@pytest.mark.parametrize(
    "text",
    [KUBECONFIG, base64.b64encode(KUBECONFIG.encode()).decode(), base64.encodebytes(KUBECONFIG.encode()).decode()],
)
def test_a_kubeconfig_is_content_plain_or_in_base64(text: str) -> None:
    call = read(inputs(kubeconfig=text))
    assert call.kubeconfig == KUBECONFIG.encode()
    assert call.environ.get("KUBECONFIG") is None


@pytest.mark.parametrize(
    ("path", "found"),
    [("deploy/kubeconfig\n", "/github/workspace/deploy/kubeconfig"), ("/home/me/config", "/home/me/config")],
)
def test_a_kubeconfig_may_be_a_path_in_the_workspace_wherever_the_work_is(path: str, found: str) -> None:
    call = read(
        {**inputs(kubeconfig=path, working_directory="services/api"), "GITHUB_WORKSPACE": "/github/workspace"}
    )
    assert (call.kubeconfig, call.environ["KUBECONFIG"]) == (None, found)


@pytest.mark.parametrize(
    "server, host",
    [("", "ghcr.io"), ("https://github.com", "ghcr.io"), ("https://ghe.example.com", "containers.ghe.example.com")],
)
def test_the_job_s_token_is_for_the_forge_s_own_registry_and_git_only(server: str, host: str) -> None:
    call = read({**inputs(github_token="ghs_token"), "GITHUB_SERVER_URL": server, "GITHUB_ACTOR": "ada"})
    assert call.logins is not None
    assert json.loads(call.logins) == {"auths": {host: {"auth": base64.b64encode(b"ada:ghs_token").decode()}}}
    assert call.environ["GIT_CONFIG_KEY_0"] == f"credential.{server or 'https://github.com'}.helper"
    assert "LINEAL_REGISTRY_PASSWORD" not in call.environ
    assert [name for name, value in call.environ.items() if "ghs_token" in value] == ["LINEAL_ACTION_TOKEN"]


def test_the_token_s_login_is_found_for_its_host_alone_and_after_the_job_s_own(tmp_path: Path) -> None:
    def username(host: str, **environ: str) -> str | None:
        call = read({**inputs(github_token="ghs_token"), "GITHUB_ACTOR": "ada", "HOME": str(tmp_path), **environ})
        found, _ = find_credential(host, "o/r", call.environ | _private_files(call, tmp_path))
        return found.username if found else None

    assert username("ghcr.io") == "ada"
    assert [username(host) for host in ("ghcr.io.example.com", "ghcr.io:8443", "docker.io", "gcr.io")] == [None] * 4
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"auths": {"ghcr.io": {"auth": base64.b64encode(b"grace:pw").decode()}}}))
    assert username("ghcr.io", REGISTRY_AUTH_FILE=str(own)) == "grace"
    own.write_text("{}")
    assert username("ghcr.io", REGISTRY_AUTH_FILE=str(own)) == "ada"
    assert (tmp_path / "auth.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("url, given", [("http://127.0.0.1:{}/a", True), ("http://localhost:{}/a", False)])
def test_git_asks_for_the_token_for_its_own_server_only(url: str, given: bool, tmp_path: Path) -> None:
    server = "http://127.0.0.1:8123"
    call = read({**inputs(github_token="ghs_token"), "GITHUB_SERVER_URL": server, "PATH": os.environ["PATH"]})
    environ = call.environ | servers.GIT_ISOLATION | {"HOME": str(tmp_path)}
    asked = f"url={url.format(8123)}\n\n"
    done = subprocess.run(["git", "credential", "fill"], input=asked, env=environ, capture_output=True, text=True)
    assert ("password=ghs_token" in done.stdout) is given


@pytest.mark.parametrize(
    "there, report",
    [
        (["/temp", "/home"], "/temp/lineal-report-step-2.json"),
        (["/home"], "/home/lineal-report-step-2.json"),
        ([], ""),
    ],
)
def test_the_report_goes_where_other_steps_see_it(there: list[str], report: str) -> None:
    environ = {"RUNNER_TEMP": "/temp", "HOME": "/home", "GITHUB_ACTION": "step_2"}
    assert read(environ, there.__contains__).environ["LINEAL_REPORT"] == report
    assert read({**environ, "LINEAL_REPORT": "own"}, there.__contains__).environ["LINEAL_REPORT"] == "own"


# --- the process ------------------------------------------------------------------------------------------------


def run(folder: Path, *, code: int = 0, **given: str) -> str:
    """`python -m lineal.cli.action` with a workspace of one commit; what it prints, both streams together."""
    workspace = folder / "workspace"
    if not workspace.exists():
        servers.Repository.create(workspace).write({"Dockerfile": "FROM scratch\n", "sub/a": "a"})
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "GITHUB_WORKSPACE": str(workspace),
        "LINEAL_REPO": "layout:store", **servers.GIT_ISOLATION, **inputs(**given),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lineal.cli.action"],
        env=environ, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert not list(folder.glob("lineal-action-*")), "what was written for the run is gone"
    return done.stdout


def test_everything_secret_is_masked_line_by_line_before_anything_is_said(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        command="config",
        secrets='"key=first line\n{\n50% of it\n"',
        registry_username="ada",
        registry_password="pass:word",
        github_token="ghs_token",
        kubeconfig=KUBECONFIG,
    )
    masks = ["pass:word", "ghs_token", "first line", "50%25 of it", "cluster-token"]
    lines = said.splitlines()
    assert lines[: len(masks)] == [f"::add-mask::{mask}" for mask in masks]
    assert not [line for line in lines[len(masks) :] if "add-mask" in line]


def test_also_what_is_in_a_list_that_cannot_be_read_is_masked(tmp_path: Path) -> None:
    said = run(tmp_path, code=3, command="config", secrets='"key=first line\nsecond line')
    assert {"::add-mask::key=first line", "::add-mask::first line", "::add-mask::second line"} <= set(
        said.splitlines()
    )
    assert said.splitlines()[-1].startswith("Error: Entry 1 of the input `secrets`")


@pytest.mark.parametrize("where", ["..", "/", "sub/../..", "link"])
def test_the_working_directory_is_in_the_workspace(tmp_path: Path, where: str) -> None:
    run(tmp_path, command="config", working_directory="sub")
    (tmp_path / "workspace/link").symlink_to("/")
    assert "which is not in the workspace." in run(tmp_path, code=3, command="config", working_directory=where)
    assert "there is no such directory" in run(tmp_path, code=3, command="config", working_directory="sub/b")
