from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from lineal.ci.gitlab.dotenv import dotenv, variable
from tests.unit.report.reports import DIGEST, image, many, report, shop, stage

IMAGE = f"registry.example.com/shop@{DIGEST}"


def test_one_image_is_named_simply_too() -> None:
    text, left_out = dotenv(report([image("api", "api/1", built=True)], [stage("api/1", "COPY a b", "built")]))
    assert text.splitlines() == [
        "LINEAL_BUILT=true",
        f"LINEAL_IMAGE={IMAGE}",
        f"LINEAL_DIGEST={DIGEST}",
        f"LINEAL_IMAGE_API={IMAGE}",
    ]
    assert left_out == []


def test_several_images_have_a_variable_each() -> None:
    text, _ = dotenv(shop("cached"))
    assert text.splitlines() == [
        "LINEAL_BUILT=false",
        *(f"LINEAL_IMAGE_{n}={IMAGE}" for n in ("BASE", "API", "WEB", "PROXY")),
    ]


def test_what_is_not_published_has_none() -> None:
    assert dotenv(shop("missing"))[0].splitlines()[1:] == [
        f"LINEAL_IMAGE_BASE={IMAGE}",
        f"LINEAL_IMAGE_PROXY={IMAGE}",
    ]


def test_names_become_variables() -> None:
    assert variable("team/api-server.v2") == "LINEAL_IMAGE_TEAM_API_SERVER_V2"


def test_two_images_that_would_share_a_variable_have_none() -> None:
    made = report([image("a-b", "a/1"), image("a.b", "b/1"), image("c", "c/1")], [])
    text, left_out = dotenv(made)
    assert left_out == ["a-b", "a.b"] and "LINEAL_IMAGE_C=" in text and "A_B" not in text


@given(st.integers(0, 60), st.integers(1, 300))
def test_the_file_is_never_more_than_gitlab_takes(count: int, length: int) -> None:
    made = many(count, 1, "COPY a b")
    for one in made.images:
        one.image = "r" * length + f"@{DIGEST}"
    text, left_out = dotenv(made)
    lines = text.splitlines()
    assert len(lines) <= 20 and len(text.encode()) <= 5 * 1024
    assert all(re.fullmatch(r"[A-Z0-9_]+=\S+", line) for line in lines)
    assert sum(line.startswith("LINEAL_IMAGE_") for line in lines) + len(left_out) == count
