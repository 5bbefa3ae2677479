from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal import text

HOSTILE = st.text(st.sampled_from("ab \t\r\n\x1b[]0;1mKJ?hP^_X\\\x07\x9b\x9d\x08\x00\u2028é漢"), max_size=60)


@given(HOSTILE, st.booleans())
def test_no_line_can_move_a_cursor_or_open_a_section(line: str, colour: bool) -> None:
    seen = text.strip_controls(line, colour=colour)
    rest = re.sub(r"\x1b\[[0-9;:]*m", "", seen) if colour else seen
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", rest)
    assert text.strip_controls(seen, colour=colour) == seen


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("10%\r50%\r100%", "100%"),
        ("done\r", "done"),
        ("\x1b[32mok\x1b[0m", "ok"),
        ("\x1b[2J\x1b[1;1Hup", "up"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended", "0;never ended"),
        ("\x1b(Bline", "line"),
        ("\x9b2Jc1", "2Jc1"),
        ("a\tb", "a       b"),
        ("back\x08\x08space", "backspace"),
        ("  indented", "  indented"),
        ("\r", ""),
        ("", ""),
    ],
)
def test_what_a_person_would_have_seen_is_left(line: str, plain: str) -> None:
    assert text.strip_controls(line) == plain


def test_colour_is_kept_when_wanted_and_always_ended() -> None:
    assert text.strip_controls("\x1b[31mred\x1b[2K", colour=True) == "\x1b[31mred\x1b[0m"
    assert text.strip_controls("none", colour=True) == "none"


def test_a_very_long_line_is_cut_and_says_so() -> None:
    seen = text.strip_controls("x" * 1_000_000)
    assert len(seen) < 20_000 and seen.endswith("(984000 more characters)")


@given(st.text(max_size=40), st.integers(3, 30))
def test_fitted_text_fits(line: str, width: int) -> None:
    assert text.cells(text.fit(line, width)) <= width
    if text.cells(line) <= width:
        assert text.fit(line, width) == line


def test_wide_characters_take_two_columns() -> None:
    assert text.cells("漢字e\u0301") == 5
    assert text.fit("漢字漢字", 6) == "漢..."
    assert text.pad("漢", 4) == "漢  "


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.01, ""), (0.26, "0.3s"), (59.94, "59.9s"), (59.99, "1m00s"), (192.4, "3m12s"), (3725, "1h02m")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (1000, "1.0 kB"),
        (12_400_000, "12.4 MB"),
        (340_000_000, "340 MB"),
        (2e12, "2.0 TB"),
    ],
)
def test_sizes(count: float, shown: str) -> None:
    assert text.size(int(count)) == shown


def test_a_result_line_is_cut_to_the_screen() -> None:
    line = text.result_line("api 3/7 RUN " + "x" * 200, "built", 2.0, "12 MB", colour=False, width=80)
    assert text.cells(line) <= 80 and "..." in line
    line = text.result_line("api 3/7 RUN make", "built", 2.0, "a long detail " * 9, colour=False, width=80)
    assert text.cells(line) <= 80 and "RUN make" in line


def test_one_line_is_short_and_printable_whatever_was_written() -> None:
    assert text.one_line("  https://ci.example.com/jobs/7\n::error::x ") == "https://ci.example.com/jobs/7::error::x"
    assert text.one_line("x" * 500) == "x" * 200
    assert text.one_line("\u202e\n\t\x1b") == ""
