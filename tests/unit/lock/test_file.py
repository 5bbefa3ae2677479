"""The lock of a layout store: waiting, not waiting for ever, and going on without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from lineal.errors import Interrupted
from lineal.lock import NoLock
from lineal.lock.file import FileLocks
from lineal.progress import Notes
from tests.unit.lock import parts

ONE, TWO = "1" * 64, "2" * 64


def lock(folder: Path, warnings: list[str] | None = None, wait: float = 20) -> FileLocks:
    said = warnings if warnings is not None else []
    return FileLocks(folder / "locks", Notes(lambda _: None, said.append), wait)


def test_it_is_held_and_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with lock(tmp_path).hold(ONE) as held:
            assert held


def test_a_failure_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock(tmp_path).hold(ONE):
        raise KeyError
    with lock(tmp_path, wait=0.05).hold(ONE) as held:
        assert held


def test_another_checksum_does_not_wait(tmp_path: Path) -> None:
    warnings: list[str] = []
    locks = lock(tmp_path, warnings, wait=0.05)
    with locks.hold(ONE) as one, locks.hold(TWO) as two:
        assert one and two
    assert warnings == []


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    started = Event()

    def second() -> None:
        started.set()
        with lock(tmp_path).hold(ONE) as held:
            order.append(f"second {held}")

    with lock(tmp_path).hold(ONE):
        thread = Thread(target=second)
        thread.start()
        started.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second True"]


def test_a_long_wait_is_shown_and_a_stopped_run_waits_no_longer(tmp_path: Path) -> None:
    stopped, notes = Event(), list[str]()

    def note(text: str) -> None:
        notes.append(text)
        stopped.set()

    waiting = FileLocks(tmp_path / "locks", Notes(note, pytest.fail, stopped), 300)
    with lock(tmp_path).hold(ONE), pytest.raises(Interrupted), waiting.hold(ONE):
        pytest.fail("it cannot be held")
    said = "waiting    another run on this machine publishes 111111111111; this run waits for it at most 300 s"
    assert notes == [said]
    with lock(tmp_path, wait=0.05).hold(ONE) as held:
        assert held


@pytest.mark.slow
def test_twenty_runs_at_once_never_hold_it_together(tmp_path: Path) -> None:
    given = {"kind": "file", "folder": str(tmp_path / "locks"), "timeouts": {"wait": 240}}
    assert parts.contend(given, tmp_path / "room", 20, 5) == 100


def test_waiting_ends_and_the_run_goes_on_with_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    with lock(tmp_path).hold(ONE):
        with lock(tmp_path, warnings, wait=0.05).hold(ONE) as held:
            assert not held
        # Not held, so not freed either.
        with lock(tmp_path, warnings, wait=0.05).hold(ONE) as held:
            assert not held
    assert len(warnings) == 2
    assert f"{ONE}.lock was not free within 0 s; going on without it." in warnings[0]


def test_a_holder_that_is_killed_frees_it(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from lineal.lock.file import FileLocks\n"
    script += "from lineal.progress import Notes\n"
    script += f"with FileLocks(Path(sys.argv[1]), Notes(print, print)).hold('{ONE}'):\n"
    script += "    print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "locks")], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with lock(tmp_path, wait=0.05).hold(ONE) as held:
        assert not held
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with lock(tmp_path).hold(ONE) as held:
        assert held


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "locks").write_text("a file")
    with lock(tmp_path, warnings).hold(ONE) as held:
        assert not held
    (warning,) = warnings
    assert "cannot be used" in warning and "going on without it" in warning


def test_no_lock_is_never_held() -> None:
    with NoLock().hold(ONE) as held:
        assert not held
