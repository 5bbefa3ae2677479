"""Who made a thing in the engine, and whether that process still lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lineal.engine.docker import process_identity

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="needs Linux")


def labels_of_a_child() -> tuple[dict[str, str], subprocess.Popen[str]]:
    """Another process's labels; it lives until its input ends."""
    names = "from lineal.engine.docker.process_identity import PROCESS, labels"
    script = f"import sys; {names}; print(labels()[PROCESS], flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return {**process_identity.labels(), process_identity.PROCESS: child.stdout.readline().strip()}, child


def test_this_process_lives() -> None:
    assert process_identity.lives(process_identity.labels()) is True


def test_a_killed_process_does_not_live_collected_or_not() -> None:
    labels, child = labels_of_a_child()
    with child:
        assert process_identity.lives(labels) is True
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_identity.lives(labels) is False
    assert process_identity.lives(labels) is False


def test_another_process_with_the_same_number_is_not_the_one() -> None:
    pid, start = process_identity.labels()[process_identity.PROCESS].split()
    assert (
        process_identity.lives({**process_identity.labels(), process_identity.PROCESS: f"{pid} {int(start) + 1}"})
        is False
    )


def test_of_another_machine_or_namespace_nothing_can_be_told() -> None:
    for part in process_identity.labels()[process_identity.PLACE].split():
        elsewhere = process_identity.labels()[process_identity.PLACE].replace(part, "other")
        assert process_identity.lives({**process_identity.labels(), process_identity.PLACE: elsewhere}) is None


@pytest.mark.parametrize("process", ["", "0 5", "-1 5", "1", "x y", "99999999999 1", "1 2 3"])
def test_labels_that_make_no_sense_tell_nothing(process: str) -> None:
    assert process_identity.lives({**process_identity.labels(), process_identity.PROCESS: process}) is None
    assert process_identity.lives({}) is None


def test_a_process_that_may_not_be_looked_at_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = process_identity.labels()
    monkeypatch.setattr(process_identity, "_stat", lambda pid: None)
    assert process_identity.lives(labels) is True


def test_without_linux_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_identity, "_PROC", tmp_path)
    assert process_identity.labels() == {}
    assert process_identity.lives({}) is None
