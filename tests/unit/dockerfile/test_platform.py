"""The platform of an image: its spellings in FROM --platform, and the arguments that say it."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.dockerfile.stage import Stage, closure
from lineal.errors import BadConfiguration
from tests.unit.dockerfile.parts import kinds
from tests.unit.stages.workbench import planned


def refusal(text: str) -> str:
    with pytest.raises(BadConfiguration) as refused:
        planned(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("written", "platform"),
    [
        ("amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("linux/arm64/v8", "linux/arm64"),
        ("aarch64", "linux/arm64"), ("linux/arm", "linux/arm/v7"), ("$BUILDPLATFORM", "linux/arm/v7"),
        ("$TARGETOS/$TARGETARCH", "linux/amd64"), ("LINUX/AMD64", "linux/amd64"),
    ],
)  # fmt: skip
def test_the_image_s_own_platform_has_several_names(written: str, platform: str) -> None:
    assert kinds(planned(f"FROM --platform={written} b:1\n", platform=platform)) == ["from"]


@pytest.mark.parametrize("written", ["windows/amd64", "linux/amd64/x/y"])
def test_what_is_no_platform_of_linux_is_refused(written: str) -> None:
    assert "is no platform that Lineal builds for" in refusal(f"FROM --platform={written} b:1\n")


@pytest.mark.parametrize(
    ("text", "target", "stage"),
    [
        ("FROM b:1 AS Last\nARG TARGETSTAGE\nENV A=1", None, "last"),
        ("FROM b:1\nARG TARGETSTAGE\nENV A=1", None, "default"),
        ("FROM b:1 AS one\nARG TARGETSTAGE\nENV A=1\nFROM c:1 AS two", "one", "one"),
    ],
)  # fmt: skip
def test_the_wanted_target_is_an_argument(text: str, target: str | None, stage: str) -> None:
    assert planned(text + "\n", target=target).scope.variables["TARGETSTAGE"] == stage


# --- several platforms --------------------------------------------------------------------------------------------

CROSS = """\
FROM --platform=$BUILDPLATFORM go:1 AS build
RUN once
ARG TARGETARCH
RUN compile
FROM run:1
ARG BUILDARCH
ARG TARGETPLATFORM
LABEL on=$BUILDARCH for=$TARGETPLATFORM
COPY --from=build /a /a
"""


def parts(text: str, *platforms: str, **options: Any) -> list[Stage]:
    return [planned(text, platform=platform, platforms=platforms, **options) for platform in platforms]


def test_what_is_made_on_the_build_platform_is_made_once_for_all() -> None:
    amd64, arm64 = parts(CROSS, "linux/amd64", "linux/arm64")
    every = closure([amd64, arm64])
    assert sorted((stage.platform, stage.text) for stage in every) == [
        ("linux/amd64", "COPY --from=build /a /a"),
        ("linux/amd64", "FROM --platform=$BUILDPLATFORM go:1 AS build"),
        ("linux/amd64", "FROM run:1"),
        ("linux/amd64", "RUN compile"),
        ("linux/amd64", "RUN compile"),
        ("linux/amd64", "RUN once"),
        ("linux/arm64", "COPY --from=build /a /a"),
        ("linux/arm64", "FROM run:1"),
    ]
    words = [dict(zip(last.metadata[0].words[0::2], last.metadata[0].words[1::2], strict=True)) for last in every
             if last.metadata]  # fmt: skip
    assert words == [{"on": "amd64", "for": "linux/amd64"}, {"on": "amd64", "for": "linux/arm64"}]


def test_the_build_platform_is_the_first_one_or_what_an_argument_says() -> None:
    arm64, amd64 = parts(CROSS, "linux/arm64", "linux/amd64")
    assert {stage.platform for stage in amd64.sources["build"].chain()} == {"linux/arm64"}
    assert arm64.sources["build"].parent is not None and amd64.sources["build"].parent is not None
    assert arm64.sources["build"].parent.checksum == amd64.sources["build"].parent.checksum
    given = parts(CROSS, "linux/arm64", "linux/arm/v7", args={"BUILDPLATFORM": "linux/amd64"})
    assert {stage.platform for last in given for stage in last.sources["build"].chain()} == {"linux/amd64"}


def test_an_image_of_one_platform_has_the_checksums_that_it_ever_had() -> None:
    """Also when others of its project have several: nothing but its own platform counts."""
    (alone,) = parts(CROSS, "linux/arm64")
    assert alone.checksum == planned(CROSS, platform="linux/arm64").checksum
    one = CROSS.replace("$BUILDPLATFORM", "$TARGETPLATFORM").replace("BUILDARCH", "X")
    both = parts(one, "linux/amd64", "linux/arm64")
    assert both[1].checksum == planned(one, platform="linux/arm64").checksum


def test_a_target_goes_on_for_the_platform_of_the_one_below() -> None:
    text = "FROM --platform=$BUILDPLATFORM b:1 AS x\nRUN y\nFROM --platform=$TARGETPLATFORM x\nRUN z\n"
    last = parts(text, "linux/amd64", "linux/arm64")[1]
    assert {stage.platform for stage in last.chain()} == {"linux/amd64"}


def test_scratch_and_images_outside_are_for_the_platform_of_the_part() -> None:
    text = "FROM --platform=$BUILDPLATFORM scratch AS x\nCOPY --from=c:1 /a /a\nFROM x\n"
    last = parts(text, "linux/amd64", "linux/arm64")[1]
    assert last.platform == "linux/arm64" and last.sources["c:1"].platform == "linux/arm64"
