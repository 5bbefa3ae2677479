"""Words and what they expand to, also where only the base image knows."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.dockerfile.checksum import canonical
from lineal.dockerfile.scope import DEFAULT_PATH, Deferred, Scope, canonical_word, finish
from tests.unit.dockerfile.oracle import Docker

OPEN = Scope().with_env([("KNOWN", "k"), ("EMPTY", "")])
CLOSED = Scope.scratch("\\").with_env([("KNOWN", "k"), ("EMPTY", "")])
BASE_ENV = {"BASE": "b", "NOTHING": "", "PATH": "/bin", "KNOWN": "k", "EMPTY": ""}

# A text, and whether it can be known before the base image is.
WORDS = [
    ("plain", True), ("$KNOWN", True), ("${KNOWN}x", True), ("a${KNOWN}b${EMPTY}c", True),
    ("${KNOWN:-x}${EMPTY:-x}${EMPTY-x}", True),
    ("${KNOWN:+x}${EMPTY:+x}${EMPTY+x}", True), ("\\$BASE", True), ("'$BASE'", True), ('"\\$BASE"', True),
    ("\"'$KNOWN'\"", True),
    ("a\\ b 'c d'", True), ("$", True), ("$KNOWN$KNOWN", True), ("", True),
    ("$BASE", False), ("${BASE}", False), ("x$BASE'$BASE'\\$BASE", False), ('"$BASE $KNOWN"', False),
    ("${BASE:-x}", False),
    ("${NOPE:-$BASE}", False), ("${NOPE:-${BASE:+$KNOWN}}", False), ("${NOTHING:-x}${NOTHING-x}", False),
    ("${BASE:+x}${NOPE:+x}", False),
    ("$NOPE", False), ("${NOPE:-a b}", False), ("$PATH:/x", False), ("\\\\$BASE", False), ("$BASE\\x", False),
    ("${KNOWN:-$BASE}", False),
    ("${BASE:-'q'}", False),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "known"), WORDS)
def test_only_what_the_base_may_define_is_left_open(raw: str, known: bool) -> None:
    assert isinstance(OPEN.expand(raw), str) is known
    assert isinstance(CLOSED.expand(raw), str)


NEW = re.compile(r"\{\w+[-+]")
"""`${x-y}` and `${x+y}` are younger than the engine of the tests."""


@pytest.mark.engine
def test_finished_words_are_what_docker_makes_of_them(builder: Docker) -> None:
    base = builder.build('FROM scratch\nENV BASE=b NOTHING="" PATH=/bin\n')
    lines = [
        f"ENV W{number}={raw}" for number, (raw, _) in enumerate(WORDS) if " " not in raw and not NEW.search(raw)
    ]
    config = builder.config(builder.build(f"FROM {base}\nENV KNOWN=k EMPTY=\n" + "\n".join(lines) + "\n"))
    found = {entry.partition("=")[0]: entry.partition("=")[2] for entry in config["Env"]}
    expected = {
        f"W{number}": finish(OPEN.expand(raw), BASE_ENV) for number, (raw, _) in enumerate(WORDS)
        if " " not in raw and not NEW.search(raw)
    }  # fmt: skip
    assert len(expected) > 15
    assert {name: found[name] for name in expected} == expected


@pytest.mark.engine
def test_words_with_spaces_are_what_docker_makes_of_them(builder: Docker) -> None:
    base = builder.build('FROM scratch\nENV BASE=b NOTHING="" PATH=/bin\n')
    spaced = [raw for raw, _ in WORDS if " " in raw]
    # The old form takes everything up to the end of the line as one word.
    lines = [f"ENV W{number} {raw}" for number, raw in enumerate(spaced)]
    config = builder.config(builder.build(f"FROM {base}\nENV KNOWN=k EMPTY=\n" + "\n".join(lines) + "\n"))
    found = {entry.partition("=")[0]: entry.partition("=")[2] for entry in config["Env"]}
    assert [found[f"W{number}"] for number in range(len(spaced))] == [
        finish(OPEN.expand(raw), BASE_ENV) for raw in spaced
    ]


def test_without_a_base_what_is_not_set_is_empty() -> None:
    assert CLOSED.expand("[$NOPE${NOPE:-d}${NOPE+x}]") == "[d]"
    assert CLOSED.expand("$PATH") == DEFAULT_PATH


def test_another_escape_character_is_heeded_now_and_later() -> None:
    scope = Scope(escape="`").with_env([("KNOWN", "k")])
    assert scope.expand("C:\\dir`$KNOWN") == "C:\\dir$KNOWN"
    assert finish(scope.expand("\\$BASE`$BASE"), BASE_ENV) == "\\b$BASE"


def test_in_a_heredoc_quotes_are_text() -> None:
    assert OPEN.expand("'$KNOWN' \"x\"", quotes=False) == "'k' \"x\""
    assert finish(OPEN.expand("'$BASE' \"x\"", quotes=False), BASE_ENV) == "'b' \"x\""


@pytest.mark.parametrize("raw", ["${KNOWN", "${}", "${:-x}", '"open', "'open", "${KNOWN!x}"])
def test_a_bad_substitution_is_refused_at_once(raw: str) -> None:
    with pytest.raises(ValueError, match="failed to process"):
        OPEN.expand(raw)


@pytest.mark.parametrize(
    "pattern", ["*", "**", "$KNOWN*", "*$NOPE", "${NOPE}**", "'*'", '"*${KNOWN}"', r"\$", r"'$\\'"]
)
def test_a_pattern_that_buildkit_reads_in_another_way_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="does not read as BuildKit does"):
        CLOSED.expand(f"${{KNOWN//{pattern}/x}}")
    assert CLOSED.expand("${KNOWN/*/x} ${KNOWN//*k/x} ${KNOWN//$KNOWN/x}") == "x x x"


def test_a_demanded_variable_is_missed_as_soon_as_it_can_be_known() -> None:
    with pytest.raises(ValueError, match="say why"):
        CLOSED.expand("${NOPE:?say why}")
    assert finish(OPEN.expand("${BASE:?say why}"), BASE_ENV) == "b"
    with pytest.raises(ValueError, match="say why"):
        finish(OPEN.expand("${NOPE:?say why}"), BASE_ENV)


def test_an_open_variable_keeps_the_value_of_its_own_line() -> None:
    """ENV A=$BASE, ENV BASE=new, ENV C=$A: as in docker, C is the base's BASE."""
    first = OPEN.with_env([("A", OPEN.expand("$BASE"))])
    second = first.with_env([("BASE", "new")])
    assert finish(second.expand("$A-$BASE"), {"A": "b", "BASE": "new"}) == "b-new"


def test_an_argument_hides_a_variable_until_the_next_one() -> None:
    scope = OPEN.with_arg("KNOWN", "arg")
    assert scope.expand("$KNOWN") == "arg"
    assert scope.with_env([("KNOWN", "env")]).expand("$KNOWN") == "env"


def test_arguments_go_on_within_a_dockerfile_and_end_with_the_image() -> None:
    scope = CLOSED.with_arg("A", "arg").with_arg("KNOWN", "arg")
    assert scope.inherited("\\", args=True).expand("$A$KNOWN") == "argk"
    assert scope.inherited("\\", args=False).expand("$A$KNOWN") == "k"


def test_a_scope_never_changes() -> None:
    scope = Scope()
    scope.with_env([("A", "1")]).with_arg("B", "2").with_workdir("/x")
    assert scope == Scope()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["base"]),
        (["/a"], "/a"),
        (["/a", "b", "../c"], "/a/c"),
        (["a", "/b"], "/b"),
        (["a", "b"], ["base", "a", "b"]),
        (["/a/./b//c/"], "/a/b/c"),
    ],
)
def test_the_working_directory_is_known_from_the_first_absolute_one_on(words: list[str], expected: object) -> None:
    scope = Scope()
    for word in words:
        scope = scope.with_workdir(word)
    assert scope.canonical_workdir() == expected


def test_a_run_sees_everything_but_an_env_of_proxies_which_counts_where_it_stands() -> None:
    scope = OPEN.with_arg("ARG", "a").with_arg("HTTP_PROXY", "given").with_env([("no_proxy", "x")])
    seen = scope.canonical_run()
    assert seen["env"] == {"KNOWN": "k", "EMPTY": "", "ARG": "a", "HTTP_PROXY": "given"}
    assert (seen["shell"], seen["user"]) == (["/bin/sh", "-c"], None)


@given(st.text(st.sampled_from("$AB{}:-+'\"\\ x"), max_size=12))
def test_what_is_left_open_and_finished_is_what_a_known_base_would_have_given(raw: str) -> None:
    """With every variable that a base could have written into the Dockerfile instead, nothing changes."""
    base = {"A": "1", "B": ""}
    known = Scope(open=False).with_env(base.items())
    try:
        late = finish(Scope().expand(raw), base)
    except ValueError:
        with pytest.raises(ValueError, match="failed to process"):
            known.expand(raw)
    else:
        assert late == known.expand(raw)


def test_different_knowledge_makes_different_open_words() -> None:
    def word(scope: Scope, raw: str = "$BASE$KNOWN") -> bytes:
        return canonical(canonical_word(scope.expand(raw)))

    other = Scope().with_env([("KNOWN", "other")])
    nested = OPEN.with_env([("KNOWN", OPEN.expand("$BASE"))])
    deeper = OPEN.with_env([("KNOWN", OPEN.expand("x$BASE"))])
    assert len({word(scope) for scope in (OPEN, other, nested, deeper, Scope(), Scope(escape="`"))}) == 6
    assert word(OPEN) == word(OPEN.with_env([("UNUSED", "x")]))


def test_a_thousand_additions_to_the_path_stay_small_and_finish() -> None:
    scope = Scope()
    for number in range(1000):
        scope = scope.with_env([("PATH", scope.expand(f"/p{number}:$PATH"))])
    word = scope.variables["PATH"]
    assert isinstance(word, Deferred)
    assert len(json.dumps(canonical_word(word))) < 300
    assert finish(word, {"PATH": "/so/far"}) == "/p999:/so/far"
