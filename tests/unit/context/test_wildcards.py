"""Patterns with many wildcards mean what a regular expression makes of them."""

from __future__ import annotations

import re

import pytest
from e2b_dockerfile_utils import PatternMatcher
from hypothesis import example, given
from hypothesis import strategies as st

from lineal.config.giterminism import Giterminism
from lineal.context.patterns import pattern_matcher

PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b", "/", "*", "**", "**/", "?", "[ab]", "[^a]", "[a-b]", "[[]", "[^a[&&~~||]",
         "[\\[&-a]", "\\a", "\\*", ".", "é", "]", "(", "^"]),
    min_size=1, max_size=12,
).map("".join)  # fmt: skip
PATHS = st.lists(st.sampled_from(["a", "b", "/", "aa", "*", "é", ".", "]", "(", "\n"]), max_size=12).map("".join)


@example("**é", "aé")
@given(PATTERNS, PATHS)
def test_a_pattern_of_an_ignore_file_matches_what_the_library_s_matches(pattern: str, path: str) -> None:
    try:
        library = PatternMatcher([pattern])
    except ValueError:
        with pytest.raises(ValueError, match="Invalid ignore pattern"):
            pattern_matcher([pattern])
        return
    ours = pattern_matcher([pattern], ways=0)
    assert [one.match(path) for one in ours._patterns] == [one.match(path) for one in library._patterns]


@pytest.mark.filterwarnings("error::FutureWarning:lineal")
@pytest.mark.parametrize(
    "pattern, matching, other",
    [("[[a]", "[a", "b"), ("[a&&b]", "a&b", "c"), ("[^~~||]", "a-", "~|"), ("[\\[[]", "[", "\\")],
)
def test_a_class_of_letters_is_no_set_of_sets(pattern: str, matching: str, other: str) -> None:
    (found,) = pattern_matcher([pattern], ways=0)._patterns
    assert all(map(found.match, matching)) and not any(map(found.match, other))


def test_many_wildcards_in_a_long_path_end_soon() -> None:
    assert not pattern_matcher(["**/" + "a*" * 40 + "b"]).matches("a" * 4000)


GLOBS = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?", ".", "é", "["]), min_size=1, max_size=10).map(
    "".join
)


@given(GLOBS, PATHS)
def test_a_pattern_of_an_exception_matches_what_its_words_say(pattern: str, path: str) -> None:
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    whole = f"{pattern}**" if pattern.endswith("/") else pattern
    pieces = re.findall(r"\*\*/|\*\*|.", whole.removeprefix("./"))
    wanted = re.fullmatch("".join(special.get(piece) or re.escape(piece) for piece in pieces), path, re.DOTALL)
    assert Giterminism(uncommitted=[pattern]).tolerates(path) is (wanted is not None)
