"""Who made a thing in the engine, and whether that process still lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lineal.engine import owner

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="needs Linux")


def labels_of_a_child() -> tuple[dict[str, str], subprocess.Popen[str]]:
    """Another process's labels; it lives until its input ends."""
    script = "import sys; from lineal.engine.owner import *; print(labels()[PROCESS], flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return {**owner.labels(), owner.PROCESS: child.stdout.readline().strip()}, child


def test_this_process_lives() -> None:
    assert owner.lives(owner.labels()) is True


def test_a_killed_process_does_not_live_collected_or_not() -> None:
    labels, child = labels_of_a_child()
    with child:
        assert owner.lives(labels) is True
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert owner.lives(labels) is False
    assert owner.lives(labels) is False


def test_another_process_with_the_same_number_is_not_the_one() -> None:
    pid, start = owner.labels()[owner.PROCESS].split()
    assert owner.lives({**owner.labels(), owner.PROCESS: f"{pid} {int(start) + 1}"}) is False


def test_of_another_machine_or_namespace_nothing_can_be_told() -> None:
    for part in owner.labels()[owner.PLACE].split():
        elsewhere = owner.labels()[owner.PLACE].replace(part, "other")
        assert owner.lives({**owner.labels(), owner.PLACE: elsewhere}) is None


@pytest.mark.parametrize("process", ["", "0 5", "-1 5", "1", "x y", "99999999999 1", "1 2 3"])
def test_labels_that_make_no_sense_tell_nothing(process: str) -> None:
    assert owner.lives({**owner.labels(), owner.PROCESS: process}) is None
    assert owner.lives({}) is None


def test_a_process_that_may_not_be_looked_at_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = owner.labels()
    monkeypatch.setattr(owner, "_stat", lambda pid: None)
    assert owner.lives(labels) is True


def test_without_linux_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(owner, "_PROC", tmp_path)
    assert owner.labels() == {}
    assert owner.lives({}) is None
