"""The parts that other tests stand on work, and fail where they should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import docker
import pytest
import requests

from tests import forks, servers


@pytest.mark.registry
def test_a_repository_is_fresh_and_can_be_pushed_to(repository: str, base_image: str) -> None:
    host, name = repository.split("/", 1)
    assert requests.get(f"http://{host}/v2/{name}/tags/list", timeout=300).status_code == 404
    copy = ["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
    images = [f"docker://{base_image}", f"docker://{repository}:1"]
    subprocess.run([servers.program("skopeo"), "--insecure-policy", *copy, *images], check=True)
    assert requests.get(f"http://{host}/v2/{name}/tags/list", timeout=300).json()["tags"] == ["1"]


@pytest.mark.registry
def test_the_registry_with_accounts_lets_only_its_user_in(auth_registry: str) -> None:
    url = f"http://{auth_registry}/v2/"
    assert requests.get(url, timeout=300).status_code == 401
    assert requests.get(url, auth=(servers.USER, "wrong"), timeout=300).status_code == 401
    assert requests.get(url, auth=(servers.USER, servers.PASSWORD), timeout=300).status_code == 200


def test_a_command_that_fails_in_a_test_says_what_it_said(tmp_path: Path) -> None:
    command = "['sh', '-c', 'echo out; echo err >&2; exit 3'], check=True, capture_output=True"
    fixture = f"@pytest.fixture\ndef made():\n    subprocess.run({command})\n"
    test = f"def test_made(made):\n    pass\ndef test_it():\n    subprocess.run({command}, text=True)\n"
    (tmp_path / "test_it.py").write_text(f"import pytest, subprocess\n{fixture}{test}")
    # The short summary says it once more, whole where the environment has CI.
    pytest_here = [sys.executable, "-m", "pytest", "-rN", "-c", "pyproject.toml", "-p", "tests.conftest"]
    done = subprocess.run([*pytest_here, str(tmp_path)], cwd=forks.ROOT, capture_output=True, text=True)
    assert done.stdout.count("exit status 3") >= 2
    assert done.stdout.count("It said: out") == done.stdout.count("It said: err") == 2, done.stdout


def test_the_base_image_is_the_same_each_time(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        servers.write_base_layout(tmp_path / name)
        digests.append(json.loads((tmp_path / name / "index.json").read_text())["manifests"][0]["digest"])
    assert digests[0] == digests[1]


@pytest.mark.engine
@pytest.mark.registry
def test_the_base_image_runs_a_shell_as_its_user(engine: docker.DockerClient, base_image: str) -> None:
    output = engine.containers.run(base_image, ["sh", "-c", "id -un; echo $HOME; ls /"], user="app", remove=True)
    assert output.split()[:2] == [b"app", b"/home/app"]


def test_equal_files_in_equal_order_give_equal_commits(tmp_path: Path) -> None:
    repos = [servers.Repository.create(tmp_path / name) for name in ("one", "two")]
    first, second = (repo.write({"a": "1", "run": b"#!/bin/sh\n"}, "First") for repo in repos)
    assert first == second
    assert repos[0].write({"a": None}) != first
    assert repos[0].git("ls-tree", "--name-only", "HEAD") == "run"
    assert repos[0].git("ls-tree", "HEAD").startswith("100755")


def test_a_merge_has_both_parents_and_a_shallow_clone_has_none(repo: servers.Repository, tmp_path: Path) -> None:
    repo.write({"a": "1"})
    repo.branch("topic")
    topic = repo.write({"b": "1"})
    repo.switch("main")
    main = repo.write({"c": "1"})
    repo.merge("topic")
    assert repo.git("log", "-1", "--format=%P").split() == [main, topic]
    shallow = repo.clone(tmp_path / "shallow", "--depth=1")
    assert shallow.git("rev-list", "--count", "HEAD") == "1"
