"""The platform of an image: its spellings in FROM --platform, and the arguments that say it."""

from __future__ import annotations

import pytest

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
