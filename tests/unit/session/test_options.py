"""Where settings come from: a flag wins over LINEAL_*, that over lineal.yaml, that over the default."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.config.setting import Origin, Setting
from lineal.errors import BadConfiguration
from lineal.session.options import Options

CONFIGURED = Setting("from yaml", Origin("lineal.yaml:3"))


@pytest.mark.parametrize(
    ("flag", "environ", "configured", "value", "origin"),
    [
        ("from flag", {"LINEAL_REPO": "from env"}, CONFIGURED, "from flag", "--repo"),
        (None, {"LINEAL_REPO": "from env"}, CONFIGURED, "from env", "LINEAL_REPO"),
        (None, {"LINEAL_REPO": ""}, CONFIGURED, "from yaml", "lineal.yaml:3"),
        (None, {}, CONFIGURED, "from yaml", "lineal.yaml:3"),
        (None, {}, None, "usual", "GITHUB_REPOSITORY"),
        ("", {"LINEAL_REPO": "from env"}, None, "", "--repo"),
    ],
)
def test_the_nearest_to_the_user_wins(
    flag: str | None, environ: dict[str, str], configured: Setting[str] | None, value: str, origin: str
) -> None:
    found = Options(repo=flag, environ=environ).text("repo", configured, "usual", "GITHUB_REPOSITORY")
    assert (found.value, str(found.origin)) == (value, origin)


def test_a_name_with_a_dash_has_an_underscore_in_the_environment() -> None:
    found = Options(environ={"LINEAL_KUBE_CONTEXT": "prod"}).text("kube-context")
    assert (found.value, str(found.origin)) == ("prod", "LINEAL_KUBE_CONTEXT")
    assert Options(kube_context="flag", environ={}).text("kube-context").value == "flag"
    assert Options(environ={"LINEAL_IGNORE_UNCOMMITTED": "1"}).flag("ignore-uncommitted").value


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "On"])
def test_what_means_yes(text: str) -> None:
    assert Options(environ={"LINEAL_DEV": text}).flag("dev").value is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off", ""])
def test_what_means_no(text: str) -> None:
    assert Options(environ={"LINEAL_DEV": text}).flag("dev").value is False
    assert Options(dev=True, environ={"LINEAL_DEV": text}).flag("dev").value is True


@pytest.mark.parametrize(
    ("variable", "text", "rule", "ask"),
    [
        ("LINEAL_DEV", "maybe", "it must be true or false", lambda options: options.flag("dev")),
        ("LINEAL_JOBS", "0", "it must be a whole number of 1 or more", Options.job_count),
        ("LINEAL_JOBS", "-1", "it must be a whole number of 1 or more", Options.job_count),
        ("LINEAL_JOBS", "many", "it must be a whole number of 1 or more", Options.job_count),
        ("LINEAL_JOBS", "1.5", "it must be a whole number of 1 or more", Options.job_count),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_the_rule(variable: str, text: str, rule: str, ask: Any) -> None:
    with pytest.raises(BadConfiguration) as refused:
        ask(Options(environ={variable: text}))
    assert variable in str(refused.value) and text in str(refused.value) and rule in str(refused.value)


def test_jobs() -> None:
    assert Options(environ={}).job_count().value == 4
    assert Options(environ={"LINEAL_JOBS": "7"}).job_count().value == 7
    assert Options(jobs=2, environ={"LINEAL_JOBS": "7"}).job_count().value == 2


def test_lists_have_one_entry_a_line_in_the_environment() -> None:
    environ = {"LINEAL_SET": "\n a=1,b=2 \r\n\n c=3\n", "LINEAL_INSECURE_REGISTRY": "one:5000\ntwo:5000"}
    assert Options(environ=environ).many("set") == ["a=1,b=2", "c=3"]
    assert Options(environ=environ).many("insecure-registry") == ["one:5000", "two:5000"]
    assert Options(set=("x=1",), environ=environ).many("set") == ["x=1"]
    assert Options(environ={}).many("values") == []


def test_variables_are_names_with_values() -> None:
    assert Options(var=("a=1", "b=x=y", "c="), environ={}).variables() == {"a": "1", "b": "x=y", "c": ""}
    assert Options(environ={"LINEAL_VAR": "a=1\nb=2"}).variables() == {"a": "1", "b": "2"}


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_a_variable_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(BadConfiguration, match=r"--var \(or line of LINEAL_VAR\) number 2 is not NAME=VALUE"):
        Options(var=("b=1", text), environ={}).variables()


def test_a_line_of_a_variable_is_not_repeated() -> None:
    """It may be one of a secret of several lines."""
    with pytest.raises(BadConfiguration, match="number 2 ") as refused:
        Options(environ={"LINEAL_VAR": "KEY=first\nhunter2\n"}).variables()
    assert "hunter2" not in str(refused.value)


def test_secrets_of_the_environment_are_in_no_representation() -> None:
    assert "hunter2" not in repr(Options(environ={"TOKEN": "hunter2"}))
