"""What a job of GitLab gives Lineal beside its context."""

from __future__ import annotations

import pytest

from lineal.ci.gitlab.provider import GitLab
from lineal.ci.provider import run_name
from lineal.errors import LinealError

JOB = {
    "GITLAB_CI": "true",
    "CI_JOB_URL": "https://gitlab.example.com/shop/-/jobs/7",
    "CI_REGISTRY": "Registry.example.com:5050",
    "CI_REGISTRY_USER": "gitlab-ci-token",
    "CI_REGISTRY_PASSWORD": "job-token",
}


def test_a_job_may_use_its_own_registry_and_no_other() -> None:
    ((host, login),) = GitLab(JOB).logins().items()
    assert (host, login.source) == ("registry.example.com:5050", "CI_REGISTRY_USER")
    assert (login.username, login.password) == ("gitlab-ci-token", "job-token")
    assert "job-token" not in repr(login)


@pytest.mark.parametrize(
    "change", [{"GITLAB_CI": "false"}, {"CI_REGISTRY": ""}, {"CI_REGISTRY_USER": ""}, {"CI_REGISTRY_PASSWORD": ""}]
)
def test_without_all_of_its_variables_there_is_no_login(change: dict[str, str]) -> None:
    assert GitLab({**JOB, **change}).logins() == {}


def test_a_run_is_known_by_the_address_of_its_job() -> None:
    assert run_name(JOB) == "https://gitlab.example.com/shop/-/jobs/7"


def test_a_log_of_gitlab_takes_no_commands_and_no_annotations() -> None:
    provider = GitLab(JOB)
    assert (
        provider.guarded("::error::x\n") == "::error::x\n"
        and provider.annotation(LinealError("No.", id="LN-9001")) == ""
    )
