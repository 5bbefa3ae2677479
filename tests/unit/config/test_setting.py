"""Where a setting comes from, and how `lineal config` shows it."""

from __future__ import annotations

import pytest
import yaml

from lineal.commands.config import describe
from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject, implicit_project, load
from lineal.config.setting import Origin, Setting, resolve
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration

TEXT = """\
project: shop
repo: r.example.com/shop
images:
  api:
    args: {A: "3.10", B: "yes", C: "a # b", D: "x: y", E: "ü\\n\\e"}
    secrets: [{id: npm, env: NPM_TOKEN}]
deploy:
  chart: chart
  namespace: n-{{ env }}
"""


def read(env: str | None = "prod") -> LoadedProject:
    return load(TEXT, env=env, vars={}, git=GitFacts("c", "c"), environ={}, giterminism=Giterminism())


def repo(
    flag: str | None = None, environ: dict[str, str] | None = None, loaded: LoadedProject | None = None
) -> Setting[str]:
    configured = loaded.setting("repo") if loaded else None
    return resolve("repo", flag=flag, environ=environ or {}, configured=configured, default="layout:x")


def test_later_sources_win() -> None:
    variable = {"LINEAL_REPO": "env/x"}
    assert repo() == Setting("layout:x", Origin("default"))
    assert str(repo(loaded=read()).origin) == "lineal.yaml:2"
    assert repo(environ=variable, loaded=read()) == Setting("env/x", Origin("LINEAL_REPO"))
    assert repo("flag/x", variable, read()) == Setting("flag/x", Origin("--repo"))


def test_an_empty_variable_is_unset() -> None:
    assert repo(environ={"LINEAL_REPO": ""}).value == "layout:x"


def test_a_default_can_say_where_it_came_from() -> None:
    found = resolve("repo", flag=None, environ={}, default="ghcr.io/a/b", default_source="GITHUB_REPOSITORY")
    assert str(found.origin) == "GITHUB_REPOSITORY"


def test_a_variable_is_parsed_or_refused_by_name() -> None:
    assert resolve("max-jobs", flag=None, environ={"LINEAL_MAX_JOBS": "3"}, default=1, parse=int).value == 3
    with pytest.raises(BadConfiguration, match="LINEAL_JOBS cannot be `many`") as caught:
        resolve("jobs", flag=None, environ={"LINEAL_JOBS": "many"}, default=1, parse=int)
    assert "--jobs" in str(caught.value)


def test_a_configured_value_that_needs_the_environment_is_asked_for_only_when_it_is_used() -> None:
    configured = read(None).setting("deploy.namespace")
    assert resolve("namespace", flag="mine", environ={}, configured=configured, default="").value == "mine"
    with pytest.raises(BadConfiguration, match=r"lineal.yaml:9: deploy.namespace.*--env NAME"):
        resolve("namespace", flag=None, environ={}, configured=configured, default="")


def test_the_description_is_yaml_with_origins_and_the_same_values() -> None:
    text = describe(read(), {"repo": Setting("other/x", Origin("--repo")), "jobs": Setting(4, Origin("LINEAL_JOBS"))})
    values = yaml.safe_load(text)
    assert values["images"]["api"]["args"] == {"A": "3.10", "B": "yes", "C": "a # b", "D": "x: y", "E": "ü\n\x1b"}
    assert values["images"]["api"]["secrets"] == [{"id": "npm", "env": "NPM_TOKEN", "file": None}]
    assert values["settings"] == {"jobs": 4}
    origins = {line.split("#")[0].strip(): line.split("# ")[-1] for line in text.splitlines()}
    assert origins["project: shop"] == "lineal.yaml:1"
    assert origins["repo: other/x"] == "--repo"
    assert origins["namespace: n-prod"] == "lineal.yaml:9"
    assert origins["release: shop-prod"] == "default"
    assert origins["jobs: 4"] == "LINEAL_JOBS"
    assert origins["- id: npm"] == "lineal.yaml:6"
    assert "\x1b" not in text


def test_an_assumed_project_is_described_as_such() -> None:
    assert "project: shop" in describe(implicit_project(True, "shop"), {})
    assert "# assumed, no lineal.yaml" in describe(implicit_project(True, "shop"), {})
