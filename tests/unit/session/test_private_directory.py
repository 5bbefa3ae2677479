"""What killed runs leave among the temporary files, and who removes it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lineal.session.private_directory import private_directory, remove_abandoned

RUN = """
import sys, time
from lineal.session.private_directory import private_directory
with private_directory() as path:
    (path / "outgoing").mkdir()
    (path / "outgoing" / "layer").write_text("layer")
    print(path, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def running() -> tuple[subprocess.Popen[str], Path]:
    """A run in the middle of its work, and its directory."""
    process = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def killed() -> Path:
    process, path = running()
    process.kill()
    process.communicate()
    return path


def test_the_next_run_removes_what_a_killed_one_left(place: Path) -> None:
    left = killed()
    assert (left / "outgoing" / "layer").exists()
    with private_directory("action") as ours:
        assert list(place.iterdir()) == [ours] and ours.stat().st_mode & 0o777 == 0o700
    assert list(place.iterdir()) == []


def test_what_a_run_works_in_stays(place: Path) -> None:
    process, path = running()
    with private_directory() as ours, private_directory() as another:
        assert {path, ours, another} == set(place.iterdir())
        assert (path / "outgoing" / "layer").exists()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert list(place.iterdir()) == []


def test_what_only_looks_like_it_stays(place: Path) -> None:
    """A clone of somebody's project in the same directory, whose commit holds a copy of a lock file; a link."""
    left = killed()
    clone = place / "lineal-aaaaaaaa"
    shutil.copytree(left, clone)
    (place / "lineal-bbbbbbbb").mkdir()
    (place / "lineal-notes").mkdir()
    (elsewhere := place.parent / "elsewhere").mkdir()
    left.rename(elsewhere / left.name)
    (place / "lineal-cccccccc").symlink_to(elsewhere / left.name)
    before = sorted(place.rglob("*"))
    remove_abandoned(place)
    assert sorted(place.rglob("*")) == before and (elsewhere / left.name / "outgoing" / "layer").exists()


def test_a_link_in_it_is_not_followed(place: Path) -> None:
    left = killed()
    (precious := place.parent / "precious").mkdir()
    (precious / "file").write_text("mine")
    (left / "link").symlink_to(precious)
    (left / "outgoing" / "link").symlink_to(precious)
    remove_abandoned(place)
    assert list(place.iterdir()) == [] and (precious / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_what_is_another_user_s_stays(place: Path) -> None:
    left = killed()
    os.chown(left, 12345, 12345)
    remove_abandoned(place)
    assert (left / "outgoing" / "layer").exists()


def test_a_machine_without_the_directory(place: Path) -> None:
    remove_abandoned(place / "none")
