"""YAML with lines: what is kept, what is refused."""

from __future__ import annotations

import pytest

from lineal.config.document import MAX_ALIASED, parse, spell
from lineal.errors import BadConfiguration, Location


def refusal(text: str) -> BadConfiguration:
    with pytest.raises(BadConfiguration) as caught:
        parse(text, "f.yaml")
    return caught.value


def test_values_and_the_lines_of_their_keys() -> None:
    document = parse("a: 1\nb:\n  - x\n  - c: true\n    d:\n", "f.yaml")
    assert document.plain() == {"a": 1, "b": ["x", {"c": True, "d": None}]}
    lines = {spell(path): document.place(path).line for path, _ in document.nodes()}
    assert lines == {"a": 1, "b": 2, "b[0]": 3, "b[1]": 4, "b[1].c": 4, "b[1].d": 5}


def test_dates_stay_text_and_quoted_numbers_too() -> None:
    assert parse("[2024-01-01, '1', \"yes\", 0x_, 1.5, ~, =]", "f").plain() == [
        "2024-01-01", "1", "yes", "0x_", 1.5, None, "=",
    ]  # fmt: skip


def test_merge_keys_give_way_to_keys_written_out() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {c: 3, <<: [*x, *y]}\n"
    assert parse(text, "f").plain()["z"] == {"a": 1, "b": 1, "c": 3}
    assert parse('a: {"<<": 1}', "f").plain() == {"a": {"<<": 1}}


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a", "written twice, first on line 1"),
        ("x:\n  a: 1\n  a: 3\n", 3, "x.a", "written twice, first on line 2"),
        ("a: 1\n5: 3\n", 2, None, "The key `5` is not text"),
        ("a: 1\nyes: 3\n", 2, None, "The key `yes` is not text"),
        ("? [x]\n: 1\n", 1, None, "keys must be text"),
        ("a: {{ x }}\n", 1, "a", "keys must be text"),
        ("a: *x\n", 1, "a", "anchor `x` is not defined"),
        ("a: &a [*a]\n", 1, "a[0]", "contains itself"),
        ("a: !!python/object:os.system x\n", 1, "a", "tags such as"),
        ("a: !!binary aGk=\n", 1, "a", "tags such as"),
        ("a: 1\n---\nb: 1\n", 2, None, "second YAML document"),
        ("a: [\n", 1, None, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, None, "A tab stands"),
        ("a: b: c\n", 1, None, "not valid YAML"),
        ("a: \x00\n", 1, None, "character that YAML does not allow"),
        ("a: \ud800\n", None, None, "character that YAML does not allow"),
        ("[" * 500, 1, None, "nested deeper"),
        ("a: {<<: 5}", 1, "a.<<", "merges mappings only"),
    ],
)
def test_what_is_refused(text: str, line: int | None, key: str | None, message: str) -> None:
    error = refusal(text)
    assert error.place == Location("f.yaml", line, key)
    assert message in error.message
    assert error.remedy


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert str(MAX_ALIASED) in refusal(bomb).message


def test_aliases_do_not_stack_depth_beyond_the_limit() -> None:
    deep = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} {'[' * 20}*a{n - 1}{']' * 20}\n" for n in range(1, 30))
    assert "nested deeper" in refusal(deep).message
