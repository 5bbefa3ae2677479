from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.report.model import ContextReport, ImageReport, Outcome, ReleaseReport, Report, StageReport
from lineal.report.table import summary
from lineal.text import cells
from tests.unit.ci.github.runner import github_commands


def stage(image: str, instruction: str, outcome: Outcome = "cached", **values: Any) -> StageReport:
    given: dict[str, Any] = {"target": "0", "line": 1, "checksum": "a" * 64, **values}
    return StageReport(image=image, instruction=instruction, outcome=outcome, **given)


def report(*stages: StageReport, may_write: bool = True, **values: Any) -> Report:
    names = dict.fromkeys(stage.image for stage in stages)
    return Report(
        lineal="0.1",
        command="build",
        project="shop",
        context=ContextReport(provider="local", event="none", commit="1" * 40, may_write=may_write),
        images=[ImageReport(name=name, digest="sha256:" + "0f3a9c2b71de" * 5 + "0000") for name in names],
        stages=list(stages),
        **{"store": "layout:x", **values},
    )


def shown(*stages: StageReport, width: int = 100, **values: Any) -> list[str]:
    return summary(report(*stages, **values), colour=False, width=width).splitlines()


def row(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.startswith(start)]
    return found


WORK = (
    stage("api", "FROM debian:trixie-slim", reason="published for this commit"),
    stage("api", "RUN apt-get update", reason="published for this commit"),
    stage("api", "COPY requirements.txt .", "assembled", duration=0.04, bytes_pushed=812, reason="no such stage yet"),
    stage(
        "api", "RUN pip install", "built", duration=83.2, bytes_pushed=12_400_000, reason="the stage before is new"
    ),
    stage("web", "FROM scratch"),
    stage("web", "COPY . ."),
)


def test_every_stage_of_an_image_with_work_is_shown_with_what_how_long_and_why() -> None:
    lines = shown(*WORK)
    assert re.split(r"\s{2,}", row(lines, "api")) == ["api", "built", "1m23s", "sha256:0f3a9c2b71de"]
    assert re.split(r"\s{2,}", row(lines, "  4 ").strip()) == [
        "4 RUN pip install",
        "built",
        "1m23s",
        "the stage before is new",
    ]
    assert "assembled" in row(lines, "  3 COPY requirements.txt .")


def test_cached_stages_in_a_row_share_a_line_and_a_cached_image_is_one() -> None:
    lines = shown(*WORK)
    assert "published for this commit" in row(lines, "  1-2 FROM, RUN")
    assert re.split(r"\s{2,}", row(lines, "web"))[:2] == ["web", "cached"]
    assert not any("scratch" in line for line in lines)


def test_the_last_line_sums_up() -> None:
    lines = shown(*WORK, duration=84.9, requests=23, store="registry.example.com/shop")
    assert lines[-1] == (
        "2 images, 6 stages: 4 cached, 1 assembled, 1 built. 12.4 MB pushed, 23 registry requests, 1m25s."
    )
    assert "registry" not in shown(*WORK, requests=23, store="layout:/stores/shop")[-1]


def test_what_the_cache_saved_stands_at_the_image_and_at_the_end() -> None:
    lines = shown(*WORK, stage("base", "RUN make", saved=190.2), duration=0.9, saved=190.2)
    assert row(lines, "base").endswith("sha256:0f3a9c2b71de  saved 3m10s")
    assert lines[-1].endswith(" 12.4 MB pushed, 0.9s. The cache saved 3m10s.")


def test_two_hundred_cached_images_are_one_line_and_the_work_is_not_lost_among_them() -> None:
    quiet = [stage(f"service-{number}", "COPY x y") for number in range(200) for _ in range(7)]
    lines = shown(*quiet, *WORK)
    assert len(lines) < 12
    assert "service-0, service-1," in row(lines, "201 images")
    assert row(lines, "  4 RUN pip install")
    assert lines[-1].startswith("202 images, 1406 stages: 1404 cached")


def test_of_1300_new_images_the_first_are_shown_and_the_others_are_a_line() -> None:
    made = [stage(f"s{number}", "RUN make", "built", duration=2.0, bytes_pushed=1000) for number in range(1300)]
    broken = stage("broken", "RUN false", "failed", reason="exit status 1")
    lines = shown(*made, broken, width=140)
    assert len(lines) < 50
    assert "exit status 1" in row(lines, "  1 RUN false")
    assert re.split(r"\s{2,}", row(lines, "1281 more images"))[:4] == [
        "1281 more images",
        "built",
        "42m42s",
        "1.3 MB",
    ]


def test_a_plan_says_what_would_be_built() -> None:
    lines = shown(stage("api", "RUN a", "missing", reason="never published"))
    assert "to build" in row(lines, "api") and "never published" in row(lines, "  1 RUN a")
    assert lines[-1].startswith("1 image, 1 stage: 1 to build.")


def test_a_failure_outweighs_what_worked() -> None:
    lines = shown(stage("api", "RUN a", "built"), stage("api", "RUN b", "failed", reason="exit status 2"))
    assert re.split(r"\s{2,}", row(lines, "api"))[1] == "failed"
    assert "exit status 2" in row(lines, "  2 RUN b")


def test_a_long_reason_is_folded_below_its_column() -> None:
    lines = shown(stage("api", "RUN a", "missing", reason="one two three four five six seven eight " * 9))
    start = next(index for index, line in enumerate(lines) if line.startswith("  1 RUN a"))
    column = lines[start].index("one two")
    assert lines[start + 1][:column].isspace() and lines[start + 2].endswith("...")
    assert "----" in lines[start + 3]


def test_targets_are_named_where_there_are_several() -> None:
    lines = shown(stage("api", "RUN a", "built", target="deps"), stage("api", "RUN b", "built", target="1"))
    assert row(lines, "  1 deps: RUN a") and row(lines, "  2 RUN b")


def test_a_wide_screen_has_a_column_for_what_was_pushed() -> None:
    assert "PUSHED" not in "".join(shown(*WORK, width=100))
    lines = shown(*WORK, width=140)
    assert "PUSHED" in lines[0] and "812 B" in row(lines, "  3 COPY") and "12.4 MB" in row(lines, "  4 RUN")


def test_a_release_and_a_run_that_may_not_write_are_said() -> None:
    release = ReleaseReport(name="shop-dev", namespace="shop", status="deployed", duration=7.2)
    assert shown(*WORK, release=release)[-1] == "Release shop-dev in namespace shop: deployed in 7.2s."
    assert shown(*WORK, may_write=False)[-1].startswith("Nothing was published")


def test_nothing_at_all_is_one_line() -> None:
    assert shown() == ["0 images, 0 stages."]


def test_without_colour_the_frame_is_ascii() -> None:
    text = summary(report(*WORK), colour=False, width=100)
    assert text.isascii() and "\x1b" not in text
    assert "\x1b[32m" in summary(report(*WORK), colour=True, width=100)


TEXTS = st.text(st.sampled_from("ab 漢\x1b[2J\r\n\t\u2028e\u0301\x9b"), max_size=80)


@given(TEXTS, TEXTS, st.sampled_from(["cached", "built", "failed"]), st.integers(10, 200))
def test_the_table_keeps_its_width_and_hostile_text_does_nothing(
    instruction: str, reason: str, outcome: Outcome, width: int
) -> None:
    stages = (stage("api", instruction, outcome, reason=reason), stage("b" + instruction, "RUN x", outcome))
    *table, _ = shown(*stages, width=width)
    for line in table:
        assert line.isprintable() or "\u0301" in line
        assert cells(line) <= max(width, 60)


@pytest.mark.parametrize("attack", ["::error::x", "##[error]x", "x ::add-mask::a ##[stop-commands]t"])
def test_no_text_in_the_table_is_a_command_to_github(attack: str) -> None:
    found = stage("api", f"RUN {attack}", "built", target=attack, reason=f"{'w' * 30} {attack} " * 4)
    release = ReleaseReport(name=attack, namespace=attack, status=attack)
    for width in range(60, 130):
        text = summary(report(found, found, release=release), colour=width % 2 == 0, width=width)
        assert github_commands(text) == []


@pytest.mark.parametrize("width", [100, 200])
def test_colour_changes_nothing_but_colour(width: int) -> None:
    plain = summary(report(*WORK), colour=False, width=width)
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", summary(report(*WORK), colour=True, width=width))
    assert coloured.replace("─", "-").replace("…", "...").split() == plain.split()
