"""Where settings come from: a flag wins over LINEAL_*, that over lineal.yaml, that over the default."""

from __future__ import annotations

import pytest

from lineal.config.giterminism import load_giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.setting import Origin, Setting
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration
from lineal.session.settings import Settings, StoreSettings

FLAG, VARIABLE = "r.example/from-flag", "r.example/from-env"


def project(more: str) -> LoadedProject:
    git = GitFacts("a" * 40, "a" * 7, "main", None)
    return load(f"project: shop\n{more}", env=None, vars={}, git=git, environ={}, giterminism=load_giterminism(None))


@pytest.mark.parametrize(
    ("flag", "environ", "configured", "value", "origin"),
    [
        (FLAG, {"LINEAL_REPO": VARIABLE}, True, FLAG, "--repo"),
        (None, {"LINEAL_REPO": VARIABLE}, True, VARIABLE, "LINEAL_REPO"),
        (None, {"LINEAL_REPO": ""}, True, "r.example/from-yaml", "lineal.yaml:2"),
        (None, {}, True, "r.example/from-yaml", "lineal.yaml:2"),
        (None, {}, False, "r.example/usual", "GITHUB_REPOSITORY"),
    ],
)
def test_the_nearest_to_the_user_wins(
    flag: str | None, environ: dict[str, str], configured: bool, value: str, origin: str
) -> None:
    settings = Settings.of(repo=flag, environ=environ)
    loaded = project("repo: r.example/from-yaml\n" if configured else "")
    found = StoreSettings.of(settings, loaded, Setting("r.example/usual", Origin("GITHUB_REPOSITORY"))).repo
    assert (found.value, str(found.origin)) == (value, origin)


def test_a_name_with_a_dash_has_an_underscore_in_the_environment() -> None:
    found = Settings.of(environ={"LINEAL_KUBE_CONTEXT": "prod"}).kube_context
    assert (found.value, str(found.origin)) == ("prod", "LINEAL_KUBE_CONTEXT")
    assert Settings.of(kube_context="flag", environ={}).kube_context.value == "flag"
    assert Settings.of(environ={"LINEAL_IGNORE_UNCOMMITTED": "1"}).ignore_uncommitted.value


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "On"])
def test_what_means_yes(text: str) -> None:
    assert Settings.of(environ={"LINEAL_DEV": text}).dev.value is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off", ""])
def test_what_means_no(text: str) -> None:
    assert Settings.of(environ={"LINEAL_DEV": text}).dev.value is False
    assert Settings.of(dev=True, environ={"LINEAL_DEV": text}).dev.value is True


@pytest.mark.parametrize(
    ("variable", "text", "rule"),
    [
        ("LINEAL_DEV", "maybe", "it must be true or false"),
        ("LINEAL_JOBS", "0", "it must be a whole number of 1 or more"),
        ("LINEAL_JOBS", "-1", "it must be a whole number of 1 or more"),
        ("LINEAL_JOBS", "many", "it must be a whole number of 1 or more"),
        ("LINEAL_JOBS", "1.5", "it must be a whole number of 1 or more"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_the_rule(variable: str, text: str, rule: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        Settings.of(environ={variable: text})
    assert variable in str(refused.value) and text in str(refused.value) and rule in str(refused.value)


def test_jobs() -> None:
    assert Settings.of(environ={}).jobs.value == 4
    assert Settings.of(environ={"LINEAL_JOBS": "7"}).jobs.value == 7
    assert Settings.of(jobs=2, environ={"LINEAL_JOBS": "7"}).jobs.value == 2


def test_lists_have_one_entry_a_line_in_the_environment() -> None:
    environ = {"LINEAL_SET": "\n a=1,b=2 \r\n\n c=3\n", "LINEAL_INSECURE_REGISTRY": "one:5000\ntwo:5000"}
    assert Settings.of(environ=environ).sets.value == ("a=1,b=2", "c=3")
    assert Settings.of(environ=environ).insecure_registries.value == ("one:5000", "two:5000")
    assert Settings.of(set=("x=1",), environ=environ).sets.value == ("x=1",)
    assert Settings.of(environ={}).values.value == ()


def test_variables_are_names_with_values() -> None:
    assert Settings.of(var=("a=1", "b=x=y", "c="), environ={}).vars.value == {"a": "1", "b": "x=y", "c": ""}
    assert Settings.of(environ={"LINEAL_VAR": "a=1\nb=2"}).vars.value == {"a": "1", "b": "2"}


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_a_variable_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(BadConfiguration, match=r"--var \(or line of LINEAL_VAR\) number 2 is not NAME=VALUE"):
        Settings.of(var=("b=1", text), environ={})


def test_a_line_of_a_variable_is_not_repeated() -> None:
    """It may be one of a secret of several lines."""
    with pytest.raises(BadConfiguration, match="number 2 ") as refused:
        Settings.of(environ={"LINEAL_VAR": "KEY=first\nhunter2\n"})
    assert "hunter2" not in str(refused.value)


def test_secrets_of_the_environment_are_in_no_representation() -> None:
    assert "hunter2" not in repr(Settings.of(environ={"TOKEN": "hunter2"}))
