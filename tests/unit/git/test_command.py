"""How git is run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from lineal.git.command import ask_server, with_config


def test_all_that_git_has_started_for_a_server_ends_with_it(tmp_path: Path) -> None:
    helper = "!sh -c 'flock -x 9; touch there; sleep 1000' 9> held & wait"
    environ = with_config(dict(os.environ), ("alias.ask", helper))

    def look(_: bytes) -> None:
        if (tmp_path / "there").exists():
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ask_server(["ask"], tmp_path, environ, seconds=60, look=look)
    # Free as soon as the helper has ended; this would wait for as long as it lives.
    with (tmp_path / "held").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def test_a_server_that_takes_too_long(tmp_path: Path) -> None:
    environ = with_config(dict(os.environ), ("alias.ask", "!sleep 1000"))
    with pytest.raises(TimeoutError, match="git ask took longer than 0 s"):
        ask_server(["ask"], tmp_path, environ, seconds=0)
