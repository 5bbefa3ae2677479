"""How long stages are kept, wherever it is said."""

from __future__ import annotations

import pytest

from lineal.config.giterminism import load_giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.setting import Setting
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration
from lineal.session.options import Options


def loaded(cleanup: str) -> LoadedProject:
    git = GitFacts("a" * 40, "a" * 7, "main", None)
    text = f"project: shop\ncleanup: {cleanup}\n"
    return load(text, env=None, vars={}, git=git, environ={}, giterminism=load_giterminism(None))


def test_later_wins() -> None:
    configured = Setting(loaded("{keep_days: 90}").project.cleanup.keep_days)
    assert loaded("{}").project.cleanup.keep_days == 30
    assert Options(environ={}).days_kept(configured).value == 90
    assert Options(environ={"LINEAL_KEEP_DAYS": "7"}).days_kept(configured).value == 7
    assert Options(keep_days=0, environ={"LINEAL_KEEP_DAYS": "7"}).days_kept(configured).value == 0


@pytest.mark.parametrize("days", ["-1", "soon", "1.5", "36501", "true", '"30"', "[30]"])
def test_what_is_no_number_of_days_is_refused_where_it_is_written(days: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        loaded(f"{{keep_days: {days}}}")
    assert str(refused.value).startswith("lineal.yaml:2: cleanup.keep_days: The value must be a whole number")
    assert "such as 30" in str(refused.value)


@pytest.mark.parametrize("days", ["-1", "soon", "1.5", "36501", "٣"])
def test_a_variable_too(days: str) -> None:
    with pytest.raises(BadConfiguration, match="LINEAL_KEEP_DAYS cannot be"):
        Options(environ={"LINEAL_KEEP_DAYS": days}).days_kept(Setting(30))
