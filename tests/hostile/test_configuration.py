"""lineal.yaml and lineal-giterminism.yaml with keys that exist and values that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.load import load
from lineal.config.template import GitFacts
from tests.hostile.bounds import answer
from tests.hostile.inputs import changed, growing

PROJECT = {
    "project": "shop",
    "repo": "layout:stages",
    "lock": "file",
    "cleanup": {"keep_days": 3},
    "images": {
        "api": {"context": "api", "dockerfile": "api/Dockerfile", "target": "t", "args": {"A": "1"},
                "secrets": [{"id": "s", "env": "S"}], "ssh": [{}], "platforms": ["linux/amd64"],
                "cache_version": "1"},
        "web": {"needs": {"BASE": "api"}},
    },
    "deploy": {"chart": "chart", "release": "r", "namespace": "n", "values": ["v.yaml"], "timeout": "5m"},
}  # fmt: skip
EXCEPTIONS = {
    "config": {"environment": ["A"]},
    "dockerfile": {"unpinned": ["**"]},
    "uncommitted": ["docs/**", "*.md"],
}


def written(document: Any) -> str:
    return yaml.safe_dump(document, allow_unicode=True)


def read(text: str) -> None:
    loaded = load(text, env=None, vars={}, git=GitFacts("c", "c"), environ={}, giterminism=Giterminism())
    assert loaded.origins and loaded.project.project


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(changed(PROJECT))
def test_a_project_with_odd_values_loads_or_is_refused(document: Any) -> None:
    answer(lambda: read(written(document)))


PIECES = st.sampled_from(["{{ ", " }}", "{% for x in range(9) %}", "{% endfor %}", "[", "]", "{", "a: ", "- ", "\n",
                          " ", "&a ", "*a", "<<: ",
                          "'", '"', "| ", "x", "9", "#", "!", "? ", "project: a\n", "\t", "e", "_", "0x",
                              "1:"])  # fmt: skip


@settings(max_examples=40)
@given(growing(PIECES))
def test_a_text_that_grows_loads_or_is_refused(text: str) -> None:
    answer(lambda: read(text))
    answer(lambda: load_giterminism(text))


@settings(max_examples=40)
@given(changed(EXCEPTIONS))
def test_odd_exceptions_load_or_are_refused(document: Any) -> None:
    answer(lambda: load_giterminism(written(document)))


HARD = ["**/a" * 20 + "/b", "*a" * 30 + "b", "**a" * 30 + "b", "**/" * 40 + "b"]


@pytest.mark.parametrize("pattern", HARD)
@pytest.mark.parametrize("path", ["/".join("a" * 60), "a" * 200])
def test_a_pattern_of_exceptions_takes_no_longer_than_its_path(pattern: str, path: str) -> None:
    found = load_giterminism(written({"uncommitted": [pattern], "dockerfile": {"unpinned": [pattern]}}))
    assert answer(lambda: found.tolerates(path)) is answer(lambda: found.unpinned(path)) is False
