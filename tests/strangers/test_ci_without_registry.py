"""A CI that offers no registry: an error that asks for a store, not a folder that is gone with the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Lineal
from tests.servers import Repository

GITLAB = {"GITLAB_CI": "true", "CI": "true", "CI_PROJECT_PATH": "g/p", "CI_COMMIT_BRANCH": "main"}
ASKED = (
    "This CI offers no registry, and nothing says where the stages are to be kept. "
    "Give a store, HOST/REPOSITORY, by `--repo`"
)


@pytest.fixture
def project(repo: Repository, lineal: Lineal) -> Lineal:
    repo.write({"lineal.yaml": "project: p\nimages: {p: {}}\n", "Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    return lineal


@pytest.mark.parametrize("command", ["plan", "build", "cleanup"])
def test_gitlab_without_a_registry_asks_for_a_store(project: Lineal, command: str) -> None:
    project.env.update(GITLAB)
    ended = project(command)
    assert ended.code == 3 and ASKED in ended.stderr and ended.stdout == ""


@pytest.mark.parametrize(
    "variables",
    [{"CI": "true"}, {"CI": "1"}, {"CI": "woodpecker"}, {"JENKINS_URL": "https://ci"}, {"TF_BUILD": "True"}],
)
def test_another_ci_asks_for_a_store(project: Lineal, variables: dict[str, str]) -> None:
    project.env.update(variables)
    ended = project("build")
    assert ended.code == 3 and ASKED in ended.stderr


@pytest.mark.parametrize("ci", ["", "0", "false", "False"])
def test_a_machine_that_says_that_it_is_no_ci_has_a_store_at_home(project: Lineal, ci: str) -> None:
    project.env["CI"] = ci
    ended = project("plan")
    assert ended.code == 0 and "default outside CI" in ended.stderr


def test_a_store_that_is_named_is_used_in_every_ci(project: Lineal, repo: Repository, tmp_path: Path) -> None:
    project.env.update(GITLAB)
    assert project("build", "--repo", f"layout:{tmp_path}/a").code == 0
    project.env["LINEAL_REPO"] = f"layout:{tmp_path}/b"
    assert project("build").code == 0
    del project.env["LINEAL_REPO"]
    repo.write({"lineal.yaml": f"project: p\nrepo: layout:{tmp_path}/c\nimages: {{p: {{}}}}\n"})
    assert project("build").code == 0
    assert [(tmp_path / name / "index.json").exists() for name in "abc"] == [True, True, True]
