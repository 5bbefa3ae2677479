"""Why a stage is new: one sentence for each kind of difference from the commit before."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.stages.rebuild_reason import explain
from tests.unit.stages.workbench import SCRIPT, Files, parts, planned, stages

FILES: Files = {"a": "1", "b": "2", "c": "3", "d": "4", "src/mark": "0"}
BEFORE = "FROM base:1\nENV X=1\nRUN one\nCOPY a b /to/\n"


def reasons(new: str, old: str, files: Files | None = None, before: Files | None = None, **options: Any) -> list[str]:
    """The reason of each stage that is new, in the order of the Dockerfile."""
    image = planned(new, FILES if files is None else files, **options)
    earlier = planned(old, FILES if before is None else before)
    found = explain(parts({"app": image}), parts({"app": earlier}), "abc1234")
    return [found[stage.checksum] for stage in stages(image) if stage.checksum in found]


def test_an_equal_graph_has_no_reasons() -> None:
    assert reasons(BEFORE, BEFORE) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("FROM base:1\nRUN one\n", "FROM base:1\nRUN two\n", "the command changed"),
        ("FROM base:1\nCOPY a /to\n", "FROM base:1\nCOPY a /other\n", "the destination changed"),
        ("FROM base:1\nCOPY a /to/\n", "FROM base:1\nCOPY b /to/\n", "the sources changed"),
        ("FROM base:1\nRUN one\n", "FROM base:2\nRUN one\n", "the base changed"),
        ("FROM base:1\nENV X=1\nRUN one\n", "FROM base:1\nENV X=2\nRUN one\n", "X changed"),
        ("FROM base:1\nRUN one\n", "FROM base:1\nENV A=1 B=2 C=3\nRUN one\n", "A, B changed"),
        ("FROM base:1\nENV A=1\nRUN one\n", "FROM base:1\nRUN one\n", "A changed"),
        ("FROM base:1\nUSER me\nRUN one\n", "FROM base:1\nUSER you\nRUN one\n", "user changed"),
        ("FROM base:1\nUSER me\nRUN one\n", "FROM base:1\nRUN one\n", "user changed"),
        ("FROM base:1\nWORKDIR /a\nRUN one\n", "FROM base:1\nWORKDIR /b\nRUN one\n", "workdir changed"),
        ('FROM base:1\nRUN one\n', 'FROM base:1\nSHELL ["sh"]\nRUN one\n', "shell changed"),
        ("FROM base:1\nRUN one\n", "FROM base:1\nRUN --network=none one\n", "its options changed"),
        ("FROM base:1\nCOPY a /to\n", "FROM base:1\nCOPY --chmod=600 a /to\n", "its options changed"),
        ("FROM base:1\nLABEL a=1\nRUN one\n", "FROM base:1\nLABEL a=2\nRUN one\n", "metadata before it changed"),
        ("FROM base:1\nCMD one\n", "FROM base:1\nRUN one\n", "not in the Dockerfile of abc1234"),
    ],
)  # fmt: skip
def test_the_difference_of_an_instruction_is_named(old: str, new: str, reason: str) -> None:
    assert reasons(new, old)[0] == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"src/mark": "1"}, "src/mark changed"),
        ({"src/mark": (SCRIPT, "0")}, "src/mark changed"),
        ({"src/new": "1"}, "src/new added"),
        ({"src/mark": None}, "src/mark removed"),
        ({"a": "9", "b": "9", "c": "9", "d": "9"}, "a, b and 2 more changed"),
        ({"a": "9", "new": "1"}, "a changed"),
    ],
)
def test_changed_files_are_named(change: dict[str, Any], reason: str) -> None:
    files = {path: content for path, content in {**FILES, **change}.items() if content is not None}
    text = "FROM base:1\nCOPY . /to\n"
    assert reasons(text, text, files) == [reason]


def test_mounted_files_are_told_from_the_command() -> None:
    text = "FROM base:1\nRUN --mount=target=/src one\n"
    assert reasons(text, text, {**FILES, "a": "9"}) == ["mounted files changed"]


def test_the_reason_of_the_first_change_is_followed_by_what_stands_on_it() -> None:
    changed = BEFORE.replace("RUN one", "RUN two")
    assert reasons(changed, BEFORE) == ["the command changed", "follows a stage that changed"]


def test_a_copy_from_a_changed_target_says_so() -> None:
    text = "FROM base:1 AS tool\nRUN {}\nFROM base:2\nRUN last\nCOPY --from=tool /x /x\n"
    assert reasons(text.format("new"), text.format("old")) == ["copies from a stage that changed"]


def test_a_platform_and_a_version_of_the_cache_are_named() -> None:
    assert reasons(BEFORE, BEFORE, platform="linux/arm64")[0] == "the platform changed"
    assert reasons(BEFORE, BEFORE, cache_version="2")[0] == "cache_version changed"


def test_an_image_that_is_new_has_new_stages() -> None:
    image = planned(BEFORE, FILES)
    assert set(explain(parts({"app": image}), {}, "abc1234").values()) == {"not in the Dockerfile of abc1234"}


def test_values_of_variables_are_never_shown() -> None:
    found = reasons("FROM base:1\nENV TOKEN=hunter2\nRUN one\n", "FROM base:1\nENV TOKEN=hunter1\nRUN one\n")
    assert "hunter" not in " ".join(found)
