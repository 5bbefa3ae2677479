"""`lineal doctor`: what it finds wrong, what it says to do, and what it leaves behind (nothing)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from lineal.doctor import store as store_checks
from tests import forks, servers
from tests.conftest import Lineal
from tests.e2e.parts import Published
from tests.tools import helm as binaries
from tests.tools import kube

CONFIG = "project: shop\nimages:\n  shop: {}\n"
DEPLOY = CONFIG + "deploy: {chart: chart, release: shop, namespace: shops}\n"


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal) -> Lineal:
    repo.write({"Dockerfile": "FROM scratch\nCOPY hello /\n", "hello": "hello", "lineal.yaml": CONFIG})
    return lineal


@pytest.fixture
def cluster() -> Iterator[kube.Cluster]:
    running = kube.Cluster()
    yield running
    running.close()


def checks(result: forks.Result) -> dict[str, dict[str, Any]]:
    answer = json.loads(result.stdout)
    assert answer["ok"] == (result.code == 0)
    assert all(one["remedy"] for one in answer["checks"] if one["state"] == "problem")
    return {one["check"]: one for one in answer["checks"]}


def everything(repository: str) -> tuple[Any, ...]:
    host, _, name = repository.partition("/")
    tags = requests.get(f"http://{host}/v2/{name}/tags/list", timeout=300).json().get("tags")
    return requests.get(f"http://{host}/v2/_catalog?n=1000", timeout=300).json(), tags


@pytest.mark.registry
def test_a_registry_is_asked_for_each_right_and_left_as_it_was(shop: Lineal, repository: str) -> None:
    assert shop("build", "--repo", repository).code == 0
    before = everything(repository)
    found = checks(shop("doctor", "--format", "json", "--repo", repository))
    rights = ("history", "project", "pull", "push", "delete", "mounts", "clock")
    assert [found[name]["state"] for name in rights] == ["ok"] * len(rights)
    # distribution 2 has no API of referrers.
    assert found["referrers"]["state"] == "note"
    assert found["helm"]["state"] == found["cluster"]["state"] == "note"
    assert everything(repository) == before
    assert "hello" in Published(repository).files(next(iter(Published(repository).tags().values())))


@pytest.mark.registry
def test_a_wrong_password_is_a_problem_and_is_not_shown(shop: Lineal, auth_registry: str) -> None:
    login = {"LINEAL_REGISTRY_USERNAME": servers.USER, "LINEAL_REGISTRY_PASSWORD": "hunter2-wrong"}
    for words in (["--format", "json"], []):
        done = shop("doctor", "--repo", f"{auth_registry}/shop", *words, env=login)
        assert done.code == 5
        assert "hunter2" not in done.stdout + done.stderr
    assert "problem  store      " in done.stdout and done.stdout.count("LN-4005") == 1


def test_a_store_that_does_not_answer_is_told_of_once(shop: Lineal) -> None:
    done = shop("doctor", "--format", "json", "--repo", "127.0.0.1:1/shop")
    found = json.loads(done.stdout)["checks"]
    assert done.code == 5 and [one["check"] for one in found if one["state"] == "problem"][:2].count("store") == 1
    assert checks(done)["clock"]["text"] == "Not asked: the store does not answer."


def test_what_is_wrong_with_the_project_comes_first(repo: servers.Repository, lineal: Lineal) -> None:
    repo.write({"lineal.yaml": "project: shop\nimage: {}\n"})
    done = lineal("doctor", "--format", "json")
    assert done.code == 3
    found = checks(done)
    assert found["project"]["id"] and "lineal.yaml:2" in found["project"]["text"]
    assert found["engine"]["text"].startswith("Not asked")


def test_no_engine_is_a_problem_of_a_run(shop: Lineal, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = shop("doctor", "--format", "json", "--engine", "docker", "--repo", f"layout:{tmp_path}/store", env=env)
    engine = checks(done)["engine"]
    assert (done.code, engine["state"]) == (5, "problem")
    assert "Only a RUN needs it." in engine["remedy"]


def test_a_shallow_clone_whose_remote_is_gone_is_a_problem(
    repo: servers.Repository, shop: Lineal, tmp_path: Path
) -> None:
    repo.write({"hello": "again"})
    clone = repo.clone(tmp_path / "clone", "--depth=1")
    store = ("--repo", f"layout:{tmp_path}/store", "--format", "json")
    assert "its remote answers" in checks(shop("doctor", *store, cwd=clone.path))["history"]["text"]
    clone.git("remote", "set-url", "origin", str(tmp_path / "gone"))
    found = checks(shop("doctor", *store, cwd=clone.path))["history"]
    assert found["state"] == "problem" and "fetch-depth: 0" in found["remedy"]


@pytest.mark.helm
def test_the_cluster_answers_and_says_who_may_keep_a_release(
    repo: servers.Repository, shop: Lineal, cluster: kube.Cluster, tmp_path: Path
) -> None:
    repo.write({"lineal.yaml": DEPLOY, "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n"})
    (tmp_path / "kubeconfig").write_text(cluster.kubeconfig())
    env = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "LINEAL_HELM": str(binaries.directory() / "helm4")}
    store = ("--repo", f"layout:{tmp_path}/store", "--format", "json")
    found = checks(shop("doctor", *store, env=env))
    assert found["helm"]["state"] == "ok" and found["cluster"]["state"] == "ok"
    # This cluster in memory allows nobody anything.
    assert found["release"]["state"] == "problem" and "namespace shops" in found["release"]["text"]
    cluster.close()
    assert checks(shop("doctor", *store, env=env))["cluster"]["state"] == "problem"


class Late:
    """A store whose clock is this many seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.directory = seconds, None

    def now(self) -> int:
        return int((time.time() + self.seconds) * 1000)


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (-30, "ok"), (300, "problem"), (-7200, "problem")])
def test_a_clock_that_is_far_off_is_a_problem(seconds: float, state: str) -> None:
    class Session:
        store = Late(seconds)

    (found,) = store_checks.clock(Session())  # type: ignore[arg-type]
    assert found.state == state
    assert state == "ok" or ("behind" if seconds > 0 else "ahead of") in found.text
