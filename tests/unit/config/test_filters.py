from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.config.filters import LONGEST, semver, slug
from lineal.oci.reference import is_tag


@pytest.mark.parametrize(
    "version, whole, minor",
    [
        ("1.2.3", "1.2.3", "1.2"),
        ("v1.2.3", "1.2.3", "1.2"),
        ("v1.2.3-rc.1", "1.2.3-rc.1", None),
        ("1.2.3+build.5", "1.2.3_build.5", "1.2"),
        ("v1.2.3-rc.1+build.5", "1.2.3-rc.1_build.5", None),
        ("v1.2", None, None),
        ("v01.2.3", None, None),
        ("api/v1.2.3", None, None),
        ("1.2.3.4", None, None),
        ("1.2.3\n", None, None),
        ("１.2.3", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_version_is_taken_apart(version: str | None, whole: str | None, minor: str | None) -> None:
    assert semver(version, "{major}.{minor}.{patch}") == whole
    assert semver(version, "{major}.{minor}") == minor


def test_a_pattern_may_name_the_pre_release_itself() -> None:
    pattern = "{major}-{patch}-{prerelease}"
    assert semver("1.2.3-rc.1", pattern) == "1-3-rc.1"
    assert semver("1.2.3", pattern) is None


def test_a_pattern_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no \{date\}"):
        semver("1.2.3", "{major}-{date}")


@pytest.mark.parametrize(
    "name, found",
    [
        ("main", "main"),
        ("feature/Login_2", "feature-login_2"),
        ("release/1.2", "release-1.2"),
        ("--x--", "x"),
        (None, None),
        ("", None),
    ],
)
def test_a_slug_is_what_people_expect(name: str | None, found: str | None) -> None:
    assert slug(name) == found


@given(st.text(min_size=1, max_size=200))
def test_a_slug_is_a_tag_and_a_label(name: str) -> None:
    made = slug(name)
    assert made is not None
    assert is_tag(made)
    assert len(made) <= LONGEST
    assert made[0].isalnum()
    assert made[-1].isalnum()


def test_two_names_that_would_lose_something_stay_two() -> None:
    assert (
        len({slug("äpfel"), slug("öpfel"), slug("x" * 70 + "a"), slug("x" * 70 + "b"), slug("日本"), slug("本日")})
        == 6
    )
