"""Templates: what they may use, how they fail, what they cannot do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lineal.config.sandbox import MAX_OUTPUT
from lineal.config.template import GitFacts, render, source_lines
from lineal.errors import BadConfiguration, Location


@dataclass(frozen=True)
class Value:
    ref: str
    digest: str


NAMES: dict[str, object] = {
    "images": {"api": Value("r/a:t@d", "d"), "my-api": Value("r/b:t@e", "e")},
    "git": GitFacts("c" * 40, "ccccccc", "main"),
    "vars": {"items": "mine", "colour": "red"},
    "env": "prod",
    "project": "shop",
}


def out(text: str) -> str:
    return render(text, file="values.yaml.j2", names=NAMES)


def refusal(text: str) -> BadConfiguration:
    with pytest.raises(BadConfiguration) as caught:
        out(text)
    assert caught.value.place is not None
    assert caught.value.place.file == "values.yaml.j2"
    assert caught.value.remedy
    return caught.value


def test_values_templates_reach_images_by_attribute_and_by_name() -> None:
    assert out('a: {{ images.api.ref }}\nb: {{ images["my-api"].digest }}\n') == "a: r/a:t@d\nb: e\n"
    assert out("{% for name, image in images.items() %}{{ name }}={{ image.ref }} {% endfor %}").count("=") == 2


def test_a_variable_wins_over_a_method_of_the_same_name() -> None:
    assert out("{{ vars.items }}") == "mine"


def test_block_lines_leave_no_empty_lines() -> None:
    assert out("a: 1\n  {% if true %}\nb: 2\n  {% endif %}\nc: 3\n") == "a: 1\nb: 2\nc: 3\n"


@pytest.mark.parametrize(
    ("text", "line", "message", "remedy"),
    [
        ("\n{{ imagse }}", 2, "`imagse`, which is not defined", "`images`"),
        ("{{ images.apj.ref }}", 1, "`images.apj`", "`images.api`"),
        ('{{ images["my-apj"].ref }}', 1, "`images.my-apj`", '`images["my-api"]`'),
        ("{{ images.zzz.ref }}", 1, "`images.zzz`", "no image of that name"),
        ("{{ git.comit }}", 1, "`git.comit`", "`git.commit`"),
        ("{{ git.nonsense }}", 1, "`git.nonsense`", "branch, commit, default_branch, is_default_branch, short, tag"),
        ("{{ vars.zzz }}", 1, "`vars.zzz`", "--var zzz=VALUE"),
        ("{{ images.api.reff }}", 1, "`reff`", "`.ref`"),
        ("{{ environ.HOME }}", 1, "`environ`", "env_var"),
        ("{% if nope %}{% endif %}", 1, "`nope`", "images, git, vars, env, project"),
        ("{{ git.tag }}", 1, "no value", "default"),
        ("{{ git.commit.upper }}", 1, "not text", "call it"),
        ("{{ [git.commit.upper] }}", 1, "not text", "call it"),
        ("a\n{{ 1 / 0 }}", 2, "division by zero", "Correct"),
        ("a\n{% for %}", 2, "template is wrong", "raw"),
        ("a\n{{ 'x' | nofilter }}", 2, "nofilter", "raw"),
        ("{{ [1, 2] | random }}", 1, "random", "raw"),
        ("{{ lipsum() }}", 1, "`lipsum`", "Templates may use"),
        ("a\n{% include 'secret' %}", 2, "cannot read other files", "macro"),
        ("{% import 'x' as y %}", 1, "`import`", "macro"),
        ("{% from 'x' import y %}", 1, "`from … import`", "macro"),
        ("{% extends 'x' %}", 1, "`extends`", "macro"),
    ],
)
def test_a_mistake_names_line_and_remedy(text: str, line: int, message: str, remedy: str) -> None:
    error = refusal(text)
    assert error.place == Location("values.yaml.j2", line)
    assert message in error.message
    assert remedy in str(error.remedy)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ().__class__.__mro__ }}",
        "{{ git.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ '{0.__class__}'.format(git) }}",
        "{{ render.__globals__ }}",
        "{{ vars.update({'a': 1}) }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ vars.__setitem__('x', 1) }}",
    ],
)
def test_the_sandbox_holds(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * [1] }}",
        "{{ 9**(9**9) }}",
        "{{ range(10**9) | list }}",
        "{% for x in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
        "{{ '(' }}{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{ " + "1" * 5000 + " }}",
        "{% for a in [1] %}" * 50 + "{% endfor %}" * 50,
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_bomb_is_refused(text: str) -> None:
    refusal(text)


def test_the_output_limit_is_16_mib() -> None:
    text = "{% for x in range(16) %}{{ 'a' * 1048576 }}{% endfor %}"
    assert len(out(text)) == MAX_OUTPUT
    assert "16 MiB" in refusal(text + "b").message


def test_a_name_that_is_none_is_not_defined() -> None:
    with pytest.raises(BadConfiguration, match="--env NAME"):
        render("{{ env }}", file="f", names={"env": None})


def test_lines_are_mapped_through_loops_conditions_macros_and_white_space_control() -> None:
    text = (
        "{% macro two(x) %}\n"  # 1
        "m: {{ x }}\n"  # 2
        "n: {{ x }}\n"  # 3
        "{% endmacro %}\n"  # 4
        "first: 1\n"  # 5
        "{% for i in [1, 2] %}\n"  # 6
        "{{ i }}: a\n"  # 7
        "{% if i == 2 -%}\n"  # 8
        "\n"  # 9
        "b: c\n"  # 10
        "{% endif %}\n"  # 11
        "{% endfor %}\n"  # 12
        "{{ two('q') }}"  # 13 (macro text keeps its own lines)
        "{# a\n comment #}\n"  # 13-14
        "last: 1\n"  # 15
    )
    rendered = out(text)
    lines = source_lines(text, rendered, file="f", names=NAMES)
    where = {line: lines(number) for number, line in enumerate(rendered.split("\n"), 1)}
    assert where["first: 1"] == 5
    assert where["1: a"] == where["2: a"] == 7
    assert where["b: c"] == 10
    assert (where["m: q"], where["n: q"]) == (2, 3)
    assert where["last: 1"] == 15
