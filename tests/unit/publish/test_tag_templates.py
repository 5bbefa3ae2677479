from __future__ import annotations

import pytest

from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration, Location
from lineal.publish.tag_templates import Tag, kind_of, own_tag, tag_of

COMMIT = "1a2b3c4d" + "5" * 32
MAIN = GitFacts(COMMIT, COMMIT[:7], "main", None, "main")
PLACE = Location("lineal.yaml", 7, "publish.tags[0]")


def at(tag: str | None = None, branch: str | None = None) -> GitFacts:
    return GitFacts(COMMIT, COMMIT[:7], branch, tag, "main")


@pytest.mark.parametrize(
    "name, git, kind",
    [
        ("latest", MAIN, "moving"),
        ("main", MAIN, "moving"),
        (f"sha-{COMMIT[:7]}", MAIN, "version"),
        (f"main-{COMMIT[:12]}", MAIN, "version"),
        (COMMIT, MAIN, "version"),
        ("1.2.3", at("v1.2.3"), "version"),
        ("v1.2.3", at("v1.2.3"), "version"),
        ("1.2.3-alpine", at("v1.2.3"), "version"),
        ("api-1.2.3", at("v1.2.3"), "version"),
        ("1.2", at("v1.2.3"), "moving"),
        ("1", at("v1.2.3"), "moving"),
        ("latest-python3.13.1", MAIN, "moving"),
        ("1.2.3-rc.1", at("v1.2.3-rc.1"), "version"),
        ("api-1.2.3", at("api/1.2.3"), "version"),
        ("2026.11", at("2026.11"), "version"),
        ("v1", at("v1"), "moving"),
        ("nightly", at("nightly"), "moving"),
        ("release-1.2.3", at(branch="release/1.2.3"), "moving"),
        ("1.2.x", at(branch="1.2.x"), "moving"),
        ("1.4.2", MAIN, "version"),
        ("deadbee", MAIN, "moving"),
        (f"sha{COMMIT[:7].upper()}", MAIN, "version"),
        ("1-2-3", at("v1.2.3"), "version"),
        ("api_1_2_3_rc_1", at("v1.2.3-rc.1"), "version"),
        ("release-5", at("Release/5"), "version"),
        ("1.2-3", at("v1.2"), "version"),
        ("11.2.3", at("v1.2.3"), "version"),
        ("x1-2-3", at("v1.2.3"), "moving"),
        ("1.4.2", at(branch="1.4"), "version"),
        ("1.4-main", at(branch="1.4"), "moving"),
        ("1.4.2-main", at(branch="main"), "moving"),
        ("1.2", at("v1.2"), "version"),
        ("v1.4.2", at(branch="v1.4.2"), "moving"),
    ],
)
def test_what_names_one_commit_is_written_once(name: str, git: GitFacts, kind: str) -> None:
    assert kind_of(name, git) == kind


def test_the_image_s_name_is_put_in() -> None:
    assert tag_of("{{ image | slug }}-{{ image }}", "api", MAIN, PLACE) == Tag("api-api", "moving")
    assert tag_of(" latest ", "api", MAIN, PLACE) == Tag("latest", "moving")
    assert tag_of("  ", "api", MAIN, PLACE) is None


SIGNATURE = f"sha256-{'0' * 64}"


@pytest.mark.parametrize(
    "text",
    ["feature/x", ".x", "-x", "a b", "ä", "x" * 129, "a:b", "a\nb", "{{ image }}", "a" * 64, f"{'a' * 64}-{1:013}",
     SIGNATURE, f"{SIGNATURE}.sig"],
)  # fmt: skip
def test_what_is_no_tag_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(BadConfiguration) as raised:
        tag_of(text, "team/web", MAIN, PLACE)
    assert str(raised.value).startswith("lineal.yaml:7: publish.tags[0]: ")
    assert raised.value.id == "LN-1031"


def test_an_image_s_own_tag_is_a_label_and_no_number() -> None:
    tag = own_tag("sha256:" + "1" * 64)
    assert tag == Tag("image-1111111111111111", "version")
    assert len(tag.name) <= 63
