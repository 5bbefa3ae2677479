from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.ci.github.annotations import annotation
from lineal.ci.github.log import Groups, guarded
from lineal.errors import BuildFailed, LinealError, Location
from tests.unit.ci.github.runner import github_commands


def test_an_error_points_at_its_line() -> None:
    error = BuildFailed(
        "The command failed.", id="LN-5005", place=Location("api/Dockerfile", 7), remedy="Read its output."
    )
    assert annotation(error) == "::error file=api/Dockerfile,line=7::The command failed. Read its output. [LN-5005]"


def test_an_error_without_a_place_is_still_shown() -> None:
    assert annotation(LinealError("No.", id="LN-5005")) == "::error::No. [LN-5005]"


def test_a_key_is_part_of_the_message() -> None:
    error = LinealError("Unknown key.", id="LN-5005", place=Location("lineal.yaml", 3, "images.api.contxt"))
    assert annotation(error) == "::error file=lineal.yaml,line=3::images.api.contxt: Unknown key. [LN-5005]"


def test_nothing_in_an_error_can_act() -> None:
    error = LinealError(
        "100%\n::add-mask::a\r\x1b[2J\n##[x]", id="LN-5005", place=Location("a,line=9:b\n::error::c%", 1)
    )
    line = annotation(error)
    assert "\n" not in line and "\r" not in line and "\x1b" not in line
    assert line.startswith("::error file=a%2Cline=9%3Ab %3A%3Aerror%3A%3Ac%25,line=1::100%25%0A")
    assert github_commands(line)[0][0] == "error" and len(github_commands(line)) == 1


def test_stop_tokens_are_never_used_twice() -> None:
    groups = Groups()
    assert len({groups.stop_commands() for _ in range(50)}) == 50
    token = groups.stop_commands().removeprefix("::stop-commands::")
    assert groups.resume() == f"::{token}::" and len(token) == 32


ACTION = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/github/workspace"}
SHELL = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/home/runner/work/shop/shop"}


LINES = st.sampled_from([
    "::error::x", " ::set-output name=digest::evil", "a ##[add-mask]b", "kind: Pod", "\r", "\n", "\x0b::error::x",
    "\u2028::error::x", "::stop-commands::a", "kind: Pod\r::error::x",
])  # fmt: skip


@given(st.lists(LINES))
def test_a_result_in_the_log_gives_the_runner_no_commands(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = github_commands(guarded(text, ACTION))
    assert {name for name, _ in found} <= {"stop-commands", "resume"}
    assert not found or found[-1] == ("resume", "")


def test_a_lone_carriage_return_ends_a_line_for_the_runner_too() -> None:
    text = "a: 1\r ::error::x\n"
    assert github_commands(text) == [("error", "x")]
    assert [name for name, _ in github_commands(guarded(text, ACTION))] == ["stop-commands", "resume"]


@pytest.mark.parametrize("environ", [SHELL, {}])
def test_a_result_for_another_program_is_what_it_is(environ: dict[str, str]) -> None:
    assert guarded("::error::x\n", environ) == "::error::x\n"
    assert guarded("api: 1\n", ACTION) == "api: 1\n"
