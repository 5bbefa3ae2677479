"""How long stages are kept, wherever it is said."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.config.giterminism import load_giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.setting import Setting
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration
from lineal.session.settings import Settings, StoreSettings


def loaded(cleanup: str) -> LoadedProject:
    git = GitFacts("a" * 40, "a" * 7, "main", None)
    text = f"project: shop\ncleanup: {cleanup}\n"
    return load(text, env=None, vars={}, git=git, environ={}, giterminism=load_giterminism(None))


def days(project: LoadedProject, **flags: Any) -> int:
    settings = Settings.of(**{"environ": {}, "repo": "r.example/a/b"} | flags)
    return StoreSettings.of(settings, project, Setting("")).keep_days.value


def test_later_wins() -> None:
    configured = loaded("{keep_days: 90}")
    assert days(loaded("{}")) == 30
    assert days(configured) == 90
    assert days(configured, environ={"LINEAL_KEEP_DAYS": "7"}) == 7
    assert days(configured, keep_days=0, environ={"LINEAL_KEEP_DAYS": "7"}) == 0


@pytest.mark.parametrize("days", ["-1", "soon", "1.5", "36501", "true", '"30"', "[30]"])
def test_what_is_no_number_of_days_is_refused_where_it_is_written(days: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        loaded(f"{{keep_days: {days}}}")
    assert str(refused.value).startswith("lineal.yaml:2: cleanup.keep_days: The value must be a whole number")
    assert "such as 30" in str(refused.value)


@pytest.mark.parametrize("text", ["-1", "soon", "1.5", "36501", "٣"])
def test_a_variable_too(text: str) -> None:
    with pytest.raises(BadConfiguration, match="LINEAL_KEEP_DAYS cannot be"):
        days(loaded("{}"), environ={"LINEAL_KEEP_DAYS": text})
