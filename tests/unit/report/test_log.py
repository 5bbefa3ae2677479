from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.ci.github.log import Groups
from lineal.ci.gitlab.log import Sections
from lineal.report.log import LogProgress, Markers
from tests.unit.ci.github.runner import github_commands, gitlab_sections


def log(markers: Markers | None = None, colour: bool = False) -> tuple[LogProgress, io.StringIO]:
    stream = io.StringIO()
    return LogProgress(stream, markers, colour=colour), stream


def test_a_stage_that_runs_alone_is_streamed() -> None:
    progress, stream = log()
    progress.begin("api 1/2 RUN a")
    assert stream.getvalue() == ""
    progress.output("api 1/2 RUN a", "first")
    assert stream.getvalue() == "== api 1/2 RUN a\n| first\n"
    progress.output("api 1/2 RUN a", "second")
    progress.end("api 1/2 RUN a", "built", 2.25, "3 MB pushed")
    assert stream.getvalue().splitlines()[2:] == ["| second", "built        2.2s  api 1/2 RUN a  3 MB pushed"]


def test_stages_side_by_side_are_each_printed_in_one_piece() -> None:
    progress, stream = log()
    for name in "ab":
        progress.begin(name)
    for number in range(3):
        for name in "ab":
            progress.output(name, f"{name}{number}")
    assert stream.getvalue() == ""
    progress.end("b", "built", 1)
    progress.end("a", "built", 1)
    lines = [line for line in stream.getvalue().splitlines() if line.startswith(("|", "=="))]
    assert lines == ["== b", "| b0", "| b1", "| b2", "== a", "| a0", "| a1", "| a2"]


def test_a_streamed_stage_goes_on_and_makes_room_only_for_what_others_printed() -> None:
    progress, stream = log()
    progress.begin("a")
    progress.output("a", "one")
    progress.begin("quiet")
    progress.begin("b")
    progress.output("b", "other")
    progress.output("a", "two")
    progress.end("quiet", "assembled", 0.1)
    assert stream.getvalue() == "== a\n| one\n| two\n"
    progress.end("b", "built", 1)
    progress.output("a", "three")
    assert stream.getvalue().splitlines()[3:] == [
        "assembled    0.1s  quiet",
        "== b",
        "| other",
        "built        1.0s  b",
        "== a (continued)",
        "| three",
    ]


def test_the_last_one_running_is_streamed_from_its_beginning() -> None:
    progress, stream = log()
    progress.begin("a")
    progress.begin("b")
    progress.output("a", "one")
    progress.end("b", "assembled", 1)
    progress.output("a", "two")
    assert stream.getvalue().splitlines() == ["assembled    1.0s  b", "== a", "| one", "| two"]


def test_a_failure_is_shown_at_once() -> None:
    progress, stream = log(Groups())
    progress.begin("a")
    progress.output("a", "one")
    progress.begin("b")
    progress.end("b", "failed", 1, "no space left")
    assert stream.getvalue().splitlines()[-2:] == ["::endgroup::", "failed       1.0s  b  no space left"]


def test_results_held_back_are_printed_at_the_end_of_an_interrupted_run() -> None:
    progress, stream = log()
    progress.begin("a")
    progress.output("a", "one")
    progress.begin("b")
    progress.end("b", "assembled", 1)
    progress.close()
    assert stream.getvalue().splitlines() == ["== a", "| one", "assembled    1.0s  b"]


def test_waiting_output_is_bounded() -> None:
    progress, stream = log()
    progress.begin("a")
    progress.begin("b")
    for _ in range(150):
        progress.output("a", "x" * 10_000)
    assert len(stream.getvalue()) > 1 << 20
    progress.output("b", "y")
    progress.end("b", "built", 1)
    assert stream.getvalue().count("x" * 10_000) == 150


def test_cached_stages_are_counted_in_one_line() -> None:
    progress, stream = log()
    for number in range(1400):
        progress.end(f"s {number}", "cached", 0)
    progress.note("next")
    progress.end("t", "cached", 0)
    progress.close()
    assert stream.getvalue().splitlines() == ["cached             1400 stages", "next", "cached             1 stage"]


def test_a_cached_stage_does_not_break_into_a_running_one() -> None:
    progress, stream = log()
    progress.begin("a")
    progress.output("a", "one")
    progress.end("b", "cached", 0)
    progress.output("a", "two")
    assert stream.getvalue() == "== a\n| one\n| two\n"


def test_what_an_interrupted_stage_said_is_not_lost() -> None:
    progress, stream = log(Groups())
    progress.begin("a")
    progress.begin("b")
    progress.output("a", "half")
    progress.close()
    assert "| half" in stream.getvalue()
    assert [name for name, _ in github_commands(stream.getvalue())] == [
        "group",
        "stop-commands",
        "resume",
        "endgroup",
    ]


def test_on_github_a_failed_stage_shows_its_end_outside_of_the_folded_group() -> None:
    progress, stream = log(Groups())
    progress.begin("a")
    for number in range(100):
        progress.output("a", f"line {number}")
    progress.end("a", "failed", 1, "exit status 1")
    tail = stream.getvalue().split("::endgroup::\n", 1)[1]
    assert tail.startswith("failed       1.0s  a  exit status 1\n")
    assert [line for line in tail.splitlines() if line.startswith("| ")] == [f"| line {n}" for n in range(60, 100)]


def test_on_gitlab_a_failed_stage_stays_open_and_others_fold() -> None:
    progress, stream = log(Sections(lambda: 1700000000.9))
    for name in "abc":
        progress.begin(name)
    for name in "abc":
        progress.output(name, "x")
    progress.end("a", "built", 1)
    progress.end("b", "failed", 1)
    progress.close()
    assert gitlab_sections(stream.getvalue()) == [
        ("start", "lineal_1", "[collapsed=true]"),
        ("end", "lineal_1", ""),
        ("start", "lineal_2", ""),
        ("end", "lineal_2", ""),
        ("start", "lineal_3", ""),
        ("end", "lineal_3", ""),
    ]
    assert "section_start:1700000000:lineal_2\r\x1b[0Kb\n" in stream.getvalue()


ATTACKS = [
    "::error::x",
    "  ::set-env name=PATH::/evil",
    "##[error]x",
    "text ##[add-mask]x",
    "::endgroup::",
    "a\r::error::x",
    "::stop-commands::mine",
    "::add-mask::a",
    "\u2028::error::x",
    "\x1b[0Ksection_end:1:lineal_1\r\x1b[0K",
    "\x1b[31m\x1b[0Ksection_start:1:mine\r\x1b[0Kx",
]
LINES = st.lists(st.sampled_from(ATTACKS) | st.text(st.sampled_from("::##[]error \r\x1b"), max_size=20), max_size=6)


@settings(max_examples=60)
@given(LINES, st.sampled_from(["built", "failed"]), st.booleans())
def test_no_output_title_or_note_can_give_github_a_command(lines: list[str], outcome: str, colour: bool) -> None:
    progress, stream = log(Groups(), colour)
    for name in ("a", *lines[:1]):
        progress.begin(name)
        for line in lines:
            progress.output(name, line)
            progress.note(line)
    for name in ("a", *lines[:1]):
        progress.end(name, outcome, 1, "".join(lines[:1]))
    progress.close()
    names = [name for name, _ in github_commands(stream.getvalue())]
    assert set(names) <= {"group", "stop-commands", "resume", "endgroup"}
    assert names.count("group") == names.count("endgroup")
    assert names.count("stop-commands") == names.count("resume")


@settings(max_examples=60)
@given(LINES, st.booleans())
def test_no_output_can_open_or_close_a_gitlab_section(lines: list[str], colour: bool) -> None:
    progress, stream = log(Sections(), colour)
    progress.begin("a")
    for line in lines:
        progress.output("a", line)
        progress.note(line)
    progress.end("a", "built", 1)
    sections = gitlab_sections(stream.getvalue())
    assert [kind for kind, *_ in sections] == (["start", "end"] if lines else [])


def test_a_warning_is_an_annotation_also_while_commands_are_stopped() -> None:
    progress, stream = log(Groups())
    progress.begin("a")
    progress.output("a", "x")
    progress.warn("No lock service.\nCosts time: 100%")
    progress.output("a", "::error::y")
    progress.end("a", "built", 1)
    commands = github_commands(stream.getvalue())
    assert ("warning", "No lock service. Costs time: 100%") in commands
    assert "error" not in [name for name, _ in commands]


@pytest.mark.parametrize("markers", [None, Sections()], ids=["plain", "gitlab"])
def test_a_warning_is_a_line_elsewhere(markers: Markers | None) -> None:
    progress, stream = log(markers)
    progress.warn("No lock service.")
    assert "warning: No lock service." in stream.getvalue()


def test_many_threads_lose_nothing_and_never_interleave() -> None:
    progress, stream = log()

    def stage(name: str) -> None:
        progress.begin(name)
        for number in range(50):
            progress.output(name, f"{name} {number}")
        progress.end(name, "built", 1)

    threads = [threading.Thread(target=stage, args=(f"stage{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.close()
    current, seen = "", []
    for line in stream.getvalue().splitlines():
        if line.startswith("== "):
            current = line[3:].removesuffix(" (continued)")
        elif line.startswith("| "):
            assert line.startswith(f"| {current} ")
            seen.append(line)
    assert len(seen) == 400 and len(set(seen)) == 400


class FullDisk(io.StringIO):
    """Takes no line while it is full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_is_gone_for_a_while_misses_only_its_lines() -> None:
    stream = FullDisk()
    progress = LogProgress(stream)
    progress.begin("a")
    progress.output("a", "before")
    stream.full = True
    progress.output("a", "lost")
    progress.note("lost")
    progress.end("a", "built", 1)
    stream.full = False
    progress.begin("b")
    progress.output("b", "after")
    progress.end("b", "built", 2)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "== a",
        "| before",
        "== b",
        "| after",
        "built        2.0s  b",
    ]


def test_a_log_that_is_closed_does_not_end_the_build() -> None:
    progress, stream = log()
    stream.close()
    progress.begin("a")
    progress.output("a", "x")
    progress.end("a", "built", 1)
    progress.close()
    assert stream.closed
