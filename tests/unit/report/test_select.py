from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from lineal.ci.provider import provider_of
from lineal.report.log import LogProgress
from lineal.report.select import choose, columns, has_colour
from lineal.report.terminal import Terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


XTERM = {"TERM": "xterm-256color"}


def test_a_terminal_is_live() -> None:
    assert isinstance(choose(Tty(), XTERM), Terminal)


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}, {**XTERM, "CI": "true"}])
def test_a_dumb_terminal_and_a_ci_s_pseudo_terminal_get_lines(environ: dict[str, str]) -> None:
    assert isinstance(choose(Tty(), environ), LogProgress)


@pytest.mark.parametrize(
    ("environ", "marker"),
    [({"GITHUB_ACTIONS": "true"}, "::group::a\n"), ({"GITLAB_CI": "true"}, "section_start:"), ({}, "== a\n")],
)
def test_each_ci_gets_its_own_groups(environ: dict[str, str], marker: str) -> None:
    stream = io.StringIO()
    progress = choose(stream, environ, provider_of(environ).markers())
    progress.begin("a")
    progress.output("a", "x")
    progress.close()
    assert marker in stream.getvalue()


def test_colour_where_it_is_seen_and_never_against_no_color() -> None:
    assert has_colour(Tty(), XTERM, in_ci=False)
    assert has_colour(io.StringIO(), {}, in_ci=True)
    assert not has_colour(io.StringIO(), XTERM, in_ci=False)
    assert not has_colour(Tty(), {"TERM": "dumb"}, in_ci=False)
    assert not has_colour(Tty(), {**XTERM, "NO_COLOR": "1"}, in_ci=False)
    assert not has_colour(io.StringIO(), {"NO_COLOR": "1"}, in_ci=True)


def test_a_ci_run_never_loads_rich() -> None:
    program = (
        "import io, sys\n"
        "from lineal.ci.provider import provider_of\n"
        "from lineal.report.select import choose\n"
        "environ = {'GITHUB_ACTIONS': 'true'}\n"
        "p = choose(io.StringIO(), environ, provider_of(environ).markers())\n"
        "p.begin('a'); p.output('a', 'x'); p.end('a', 'built', 1); p.close()\n"
        "sys.exit('rich' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_tables_are_as_wide_as_the_terminal_or_100_columns() -> None:
    assert columns(io.StringIO(), {}) == 100
    assert columns(io.StringIO(), {"COLUMNS": "77"}) == 77
    assert columns(io.StringIO(), {"COLUMNS": "wide"}) == 100
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 132, 0, 0))
    with os.fdopen(follower, "w") as stream:
        assert columns(stream, {}) == 132
    os.close(leader)
