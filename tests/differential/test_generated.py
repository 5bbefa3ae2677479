"""Random contexts, .dockerignore files and Dockerfiles: BuildKit and Lineal make the same image, or both refuse.

`LINEAL_GENERATED=1000` tries that many batches instead of a few; a batch is some programs in one context."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.differential import buildkit, histories
from tests.differential.generated import Example, File, Files, Program, examples, word_program, words
from tests.differential.histories import history_examples
from tests.differential.pair import Pair, pair

MISSING = buildkit.missing()
pytestmark = [pytest.mark.registry, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

# Examples are made smaller by `Pair.reduced`: Hypothesis would build thousands of images for it.
_batches = settings(
    max_examples=int(os.environ.get("LINEAL_GENERATED", "8")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    database=None,
)


@pytest.fixture(scope="module")
def both(registry: str) -> Iterator[Pair]:
    with pair(registry) as made:
        yield made
        print(f"Generated programs: {made.outcomes}")


def written(files: Files, *lines: str) -> Example:
    """An example that was found once, in short."""
    return Example(files, (Program((), ("ARG BASE", "FROM $BASE", *lines)),))


def check(both: Pair, example: Example) -> None:
    for program, verdict in zip(example.programs, both.check(example), strict=True):
        if verdict:
            smaller, verdict = both.reduced(example.only(program), verdict)
            pytest.fail(f"{verdict}\n\n{smaller.show()}\n\n@example({smaller!r})", pytrace=False)


@_batches
@given(examples(6))
@example(written({"A": File(link="é")}, "COPY --exclude=/a/../?hid/a.tx? [^x]c/.. /opt/up"))
@example(Example({}, (Program(("a/**/a/../[--z]d/*\r",), ("ARG BASE", "FROM $BASE", "COPY . /x/")),)))
@example(Example({"b\\s/!n": File()}, (Program((), ("ARG BASE", "FROM $BASE", 'COPY ["./b\\\\\\\\s", "/x"]')),)))
@example(written({"!n": File(executable=True)}, "COPY !* ${V}/y"))
def test_the_same_files(both: Pair, example: Example) -> None:
    check(both, example)


@_batches
@given(st.lists(st.lists(words(), min_size=1, max_size=4), min_size=1, max_size=4))
@example([["", "${P//$Ab*/a b}", "", "${P//*/x}", "", '${P//"*${E}"/x}']])
def test_the_same_words(both: Pair, some: list[list[str]]) -> None:
    check(both, Example({"a": File()}, tuple(word_program(*group) for group in some)))


@settings(_batches, max_examples=max(1, _batches.max_examples // 8))
@given(history_examples(60))
@example(
    histories.of(
        [
            (
                [
                    [("mkdir", "a", "700"), ("write", "a/b", "")],
                    [("rm, ln -s", "a", "b")],
                    [("rm, mkdir", "a", "700")],
                ],
                "a",
            ),
            ([[("ln -s", "a", "b"), ("ln", "a", "b")], [("mkfifo", "c", ""), ("ln", "c", "a/c")]], "b"),
        ]
    )
)
def test_the_same_files_of_targets(both: Pair, example: Example) -> None:
    check(both, example)


def test_a_difference_is_found_and_made_small(both: Pair) -> None:
    """The harness itself: images that do differ are told apart, and what does not matter is taken away."""
    lines = ("ARG BASE", "FROM $BASE", "ENV V=x", "COPY a /x", "COPY sub /y/")
    example = Example({"a": File(), "b": File(), "sub/c": File()}, (Program(("b",), lines),))
    try:
        both.altered = ("COPY a /x", "COPY a /elsewhere")
        verdict = both.check(example)[0]
        assert "file /x: is missing, BuildKit has a file 0644" in verdict
        smaller, _ = both.reduced(example, verdict)
    finally:
        both.altered = None
    assert smaller == Example({"a": File()}, (Program((), ("ARG BASE", "FROM $BASE", "COPY a /x")),))
