"""Jinja2 templates that want to keep a processor or fill a memory: they are refused, with their file."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.config import template
from lineal.config.giterminism import Giterminism
from lineal.config.load import load
from lineal.config.template import GitFacts, render
from lineal.errors import BadConfiguration
from tests.hostile.bounds import answer

FACTS = GitFacts("c" * 40, "c" * 7)
NESTED = "{% set n = namespace(l=['x']) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}"
HARD = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    NESTED + "{{ n.l }}",
    "{{ range(99999) | map('string') | map('replace', '', 'x' * 99999) | map('length') | sum }}",
]
LARGE = [
    "{{ 'a'.ljust(3000000000) | length }}",
    "{{ 'a'.rjust(3000000000) | length }}",
    "{{ '1'.zfill(3000000000) | length }}",
    "{{ '\\t'.expandtabs(3000000000) | length }}",
    "{{ ('%3000000000d' % 1) | length }}",
    "{{ ('%.3000000000f' % 1) | length }}",
    "{{ '%3000000000d' | format(1) | length }}",
    "{{ '{:3000000000d}'.format(1) | length }}",
    "{{ '{:{w}}'.format(1, w=3000000000) | length }}",
    "{{ 'a' | center(3000000000) | length }}",
    "{{ 'a\\nb' | indent(3000000000) | length }}",
    "{{ (range(99999) | list).__len__() }}",
    "{% set n = namespace(l=[1]) %}{% for i in range(40) %}{% set n.l = n.l + n.l %}{% endfor %}",
    "{% set n = namespace(l='aa') %}{% for i in range(40) %}{% set n.l = n.l ~ n.l %}{% endfor %}",
    "{% set n = namespace(l='aa') %}{% for i in range(40) %}{% set n.l = n.l | replace('a', 'aa') %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 'x' * 9999999 }}{{ 'x' * 9999999 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 150 + "]" * 150 + " }}{{ '" + "a" * 2_000_000 + "' | wordwrap(1) | length }}",
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "SECONDS", 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("text", HARD)
def test_a_template_ends_at_its_time(text: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^lineal.yaml: The Jinja2 template takes more than 1 s") as refused:
        render(text, file="lineal.yaml", names={"git": FACTS})
    assert refused.value.id == "LN-1009"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("text", LARGE)
def test_a_template_takes_no_more_than_its_memory(text: str) -> None:
    found = answer(lambda: render(text, file="lineal.yaml", names={"git": FACTS}))
    assert found is None or len(found) < 100


def test_what_a_template_writes_may_not_be_longer_than_what_people_write() -> None:
    text = "project: p\nimages: {}\n{% for a in range(99999) %}# a comment that nobody reads\n{% endfor %}"
    with pytest.raises(BadConfiguration, match="more than 1024 KiB when its template is written out"):
        load(text, env=None, vars={}, git=FACTS, environ={}, giterminism=Giterminism())


def test_an_honest_template_has_what_it_had() -> None:
    def env_var(name: str, default: str = "") -> str:
        return f"<{name}{default}>"

    names = {"git": FACTS, "vars": {"a": "b"}, "env_var": env_var}
    text = "{{ git.short }} {{ vars.a | upper }} {{ env_var('X', 'y') }}{% for i in range(3) %} {{ i }}{% endfor %}"
    assert render(text, file="x", names=names) == "ccccccc B <Xy> 0 1 2"


PIECES = st.sampled_from([
    "{{ ", " }}", "{% for a in range(99999) %}", "{% endfor %}", "{% set n = namespace(l='aa') %}",
    "{% set n.l = n.l ~ n.l %}", "'a'", "git", ".", "|", "map('string')", "center(99999999)", "*", "**", "9999", "~",
    "(", ")", "[", "]", "%", "ljust(", "replace('', 'aaaa')", "list", "length", "join", "{% macro m() %}",
    "{% endmacro %}", "m()", "__class__", "attr('__init__')", "{% raw %}", "\\n", " ", "if", "else", "format",
])  # fmt: skip


@pytest.mark.usefixtures("impatient")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_template_is_rendered_or_refused(text: str) -> None:
    answer(lambda: render(text, file="lineal.yaml", names={"git": FACTS}))
