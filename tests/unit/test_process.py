from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lineal import process
from lineal.errors import Interrupted
from lineal.process import Outcome, Stream


def run(
    code: str, *, on_line: dict[str, list[signal.Signals]] | None = None, **more: float | bool | Callable[[], bool]
) -> tuple[Outcome, list[str]]:
    """Runs Python code; `on_line`: signals to ourselves when it prints that line."""
    lines: list[str] = []

    def output(stream: Stream, line: bytes) -> None:
        lines.append(f"{stream}: {line.decode().rstrip()}")
        for number in (on_line or {}).get(line.decode().rstrip(), []):
            os.kill(os.getpid(), number)

    about = {"grace": 20.0, **more}
    outcome = process.run([sys.executable, "-u", "-c", code], env=dict(os.environ), output=output, **about)  # type: ignore[arg-type]
    return outcome, lines


CAREFUL = """
import signal, sys, time
def stop(number, frame):
    print("got", number)
    time.sleep(0.2)
    print("tidy")
    sys.exit(7)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
print("ready")
for _ in range(600):
    time.sleep(0.1)  # one long sleep is not ended by a signal that comes just before it
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready")
time.sleep(60)
"""


def test_lines_of_both_streams_and_the_status_come_back() -> None:
    outcome, lines = run("import sys; print('a'); print('b', file=sys.stderr); print('c', end=''); sys.exit(3)")
    assert outcome == Outcome(3, ())
    assert sorted(lines) == ["stderr: b", "stdout: a", "stdout: c"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_forwarded_and_the_program_may_finish(number: signal.Signals) -> None:
    outcome, lines = run(CAREFUL, on_line={"ready": [number]})
    assert outcome == Outcome(7, (number,))
    assert lines == ["stdout: ready", f"stdout: got {number.value}", "stdout: tidy"]


def test_the_second_signal_kills() -> None:
    outcome, _ = run(STUBBORN, on_line={"ready": [signal.SIGINT, signal.SIGTERM]})
    assert outcome == Outcome(-signal.SIGKILL, (signal.SIGINT, signal.SIGTERM))


def test_grace_ends() -> None:
    outcome, _ = run(STUBBORN, on_line={"ready": [signal.SIGTERM]}, grace=0.3)
    assert outcome == Outcome(-signal.SIGKILL, (signal.SIGTERM,))


def test_a_limit_kills_even_a_program_that_prints_all_the_time() -> None:
    outcome, _ = run("import time\nwhile True: print('x'); time.sleep(0.01)", limit=0.5)
    assert outcome == Outcome(-signal.SIGKILL, ())


def test_a_program_that_is_suspended_does_nothing_until_it_may_go_on(tmp_path: Path) -> None:
    asked: list[float] = []

    def pause() -> bool:
        asked.append(time.monotonic())
        if len(asked) == 12:
            (tmp_path / "enough").touch()
        return 1 < len(asked) < 8

    code = f"""
import itertools, pathlib, time
for number in itertools.takewhile(lambda _: not pathlib.Path("{tmp_path}/enough").exists(), itertools.count()):
    print(number, time.monotonic())
    time.sleep(0.02)
"""
    outcome, lines = run(code, pause=pause)
    assert outcome == Outcome(0, ())
    told = [line.split()[1:] for line in lines]
    assert not [at for _, at in told if asked[2] < float(at) < asked[7]], "it was silent meanwhile"
    assert [int(number) for number, _ in told] == [*range(len(told))] != []


def test_a_program_that_is_suspended_can_be_killed() -> None:
    outcome, _ = run("import time; print('x'); time.sleep(60)", pause=lambda: True, limit=0.3)
    assert outcome == Outcome(-signal.SIGKILL, ())


def test_signals_between_two_programs_are_noticed() -> None:
    with process.noticed() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert signals == [signal.SIGTERM, signal.SIGINT]


def test_a_shielded_program_hears_nothing() -> None:
    code = "import time; print('ready'); time.sleep(0.5); print('done')"
    outcome, lines = run(code, on_line={"ready": [signal.SIGTERM, signal.SIGTERM]}, shielded=True)
    assert outcome == Outcome(0, (signal.SIGTERM, signal.SIGTERM))
    assert lines == ["stdout: ready", "stdout: done"]


def test_former_signal_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in process.SIGNALS]
    run("pass")
    assert [signal.getsignal(number) for number in process.SIGNALS] == before


def test_an_error_of_ours_leaves_nothing_running(tmp_path: Path) -> None:
    code = (
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); print('x'); time.sleep(60)"
    )

    def output(_stream: Stream, _line: bytes) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        process.run([sys.executable, "-u", "-c", code], env=dict(os.environ), output=output, grace=20)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_child_left_behind_with_the_output_open_does_not_hold_us() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '30']).pid)"
    outcome, lines = run(code)
    os.kill(int(lines[0].split()[-1]), signal.SIGKILL)
    assert outcome == Outcome(0, ())


def test_it_runs_on_another_thread_too() -> None:
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(run("pass")[0]))
    thread.start()
    thread.join()
    assert found == [Outcome(0, ())]


def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/no/such/program"], env={}, output=lambda *_: None, grace=1)


def test_a_signal_that_arrived_is_an_interruption_that_says_what_was_done() -> None:
    Outcome(1, ()).or_interrupted("Rendering")
    outcome = Outcome(0, (signal.SIGTERM, signal.SIGINT))
    with pytest.raises(Interrupted) as stopped:
        outcome.or_interrupted("Reading it", ", before anything was changed")
    assert stopped.value.words == "Reading it was interrupted by SIGTERM, before anything was changed."
