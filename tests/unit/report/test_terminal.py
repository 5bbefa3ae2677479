from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lineal.report.terminal import Terminal


@pytest.fixture
def screen() -> Iterator[tuple[Terminal, io.StringIO]]:
    stream = io.StringIO()
    progress = Terminal(stream, colour=True)
    yield progress, stream
    progress.close()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def until(stream: io.StringIO, text: str) -> str:
    """What is on the screen once `text` has been drawn."""
    end = time.monotonic() + 300
    while text not in (seen := plain(stream.getvalue())):
        assert time.monotonic() < end, f"{text!r} was never drawn: {seen!r}"
        time.sleep(0.02)
    return seen


def test_a_running_stage_shows_its_last_line(screen: tuple[Terminal, io.StringIO]) -> None:
    progress, stream = screen
    progress.begin("api 3/7 RUN make")
    progress.output("api 3/7 RUN make", "\x1b[32mcompiling\x1b[0m main.c\x1b[2J")
    seen = until(stream, "compiling main.c")
    assert "api 3/7 RUN make" in seen
    assert "\x1b[2J" not in stream.getvalue(), "a build cannot clear the screen"


def test_finished_stages_stay_and_live_lines_go(screen: tuple[Terminal, io.StringIO]) -> None:
    progress, stream = screen
    progress.begin("a")
    progress.output("a", "noise")
    until(stream, "noise")
    progress.end("a", "built", 3.25, "2 MB pushed")
    progress.close()
    assert "built        3.2s  a  2 MB pushed" in plain(stream.getvalue())
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l"), "the cursor is back"


def test_a_failure_shows_the_last_40_lines(screen: tuple[Terminal, io.StringIO]) -> None:
    progress, stream = screen
    progress.begin("a")
    for number in range(100):
        progress.output("a", f"line {number}.")
    progress.end("a", "failed", 1)
    kept = re.findall(r"│ line (\d+)\.", plain(stream.getvalue()))
    assert kept == [str(number) for number in range(60, 100)]


def test_notes_and_warnings_go_above(screen: tuple[Terminal, io.StringIO]) -> None:
    progress, stream = screen
    progress.note("before\x1b]0;x\x07")
    progress.begin("a")
    progress.note("during [bold]not markup[/bold]")
    progress.warn("careful\nplease")
    seen = plain(stream.getvalue())
    assert "before\n" in seen and "during [bold]not markup[/bold]" in seen and "warning: careful please" in seen


def test_more_stages_than_the_screen_has_lines(
    screen: tuple[Terminal, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "60")
    progress, stream = screen
    for number in range(30):
        progress.begin(f"stage {number}")
    until(stream, "and 26 more running")


def test_threads_and_the_drawing_do_not_wait_for_each_other(screen: tuple[Terminal, io.StringIO]) -> None:
    progress, stream = screen

    def stage(name: str) -> None:
        progress.begin(name)
        for number in range(300):
            progress.output(name, f"{number}")
            if number % 10 == 0:
                progress.note(f"{name} {number}")
        progress.end(name, "built", 1)

    threads = [threading.Thread(target=stage, args=(f"s{n}",), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads)
    assert len(re.findall(r"s\d 290", plain(stream.getvalue()))) == 6


def test_a_run_with_everything_cached_never_loads_rich() -> None:
    program = """
import os, sys
from lineal.report.select import choose, has_colour
from lineal.report.table import summary
progress = choose(sys.stderr, os.environ)
progress.note("hello")
for number in range(3):
    progress.end(str(number), "cached", 0)
progress.close()
assert type(progress).__name__ == "Terminal", progress
assert "rich" not in sys.modules
"""
    environ = {key: value for key, value in os.environ.items() if key not in ("CI", "GITHUB_ACTIONS", "GITLAB_CI")}
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", program],
        stderr=follower,
        stdout=subprocess.PIPE,
        env={**environ, "TERM": "xterm-256color"},
        check=False,
    )
    os.close(follower)
    shown = b""
    with suppress(OSError):  # the end: nobody has it open for writing any more
        while part := os.read(leader, 65536):
            shown += part
    os.close(leader)
    assert done.returncode == 0, shown
    assert b"hello" in shown and b"3 stages" in shown and done.stdout == b""
