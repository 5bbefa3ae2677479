"""The end of the process: a signal at any moment of it ends it, though a thread never does."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROLOGUE = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
import lineal.cli

def endless():
    threading.Thread(target=threading.Event().wait).start()

def signal_while_it_waits():
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != "_shutdown":
        pass
    os.kill(os.getpid(), signal.SIGINT)
"""
UNDISTURBED = """
def command(**_):
    global pool
    pool = ThreadPoolExecutor()
    pool.submit(print, "result")
    pool.submit(threading.Event().wait, 0.3)

lineal.cli.cli = command
lineal.cli.main()
"""
IN_A_DESTRUCTOR = """
class Old:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

def command(**_):
    endless()
    Old()
    print("result")

lineal.cli.cli = command
lineal.cli.main()
"""
WHILE_IT_WAITS = """
def command(**_):
    endless()
    threading.Thread(target=signal_while_it_waits).start()
    print("result")

lineal.cli.cli = command
lineal.cli.main()
"""
AT_EACH_LINE = """
def command(**_):
    endless()
    threading.Thread(target=signal_while_it_waits, daemon=True).start()
    left = number

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != lineal.cli.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                signal.raise_signal(signal.SIGTERM)
        return trace

    frame = sys._getframe()
    while frame := frame.f_back:
        frame.f_trace = trace
    sys.settrace(trace)
    if fails:
        raise ValueError("broken")

lineal.cli.cli = command
for fails in (False, True):
    for number in range(1, 40):
        child = os.fork()
        if child == 0:
            lineal.cli.main()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROLOGUE + program], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("program", [UNDISTURBED, IN_A_DESTRUCTOR, WHILE_IT_WAITS])
def test_what_the_run_has_come_to_stands(program: str) -> None:
    done = ended(program)
    assert (done.returncode, done.stdout) == (0, "result\n")


def test_a_command_says_by_its_exit_code_what_it_has_come_to() -> None:
    done = ended(WHILE_IT_WAITS.replace('print("result")', 'print("result"); sys.exit(2)'))
    assert (done.returncode, done.stdout, done.stderr) == (2, "result\n", "")


def test_a_signal_between_any_two_lines_ends_it() -> None:
    done = ended(AT_EACH_LINE)
    assert "Traceback" not in done.stderr
    codes = set(done.stdout.split())
    assert codes <= {"0", "1", "130"} and len(done.stdout.split()) == 78
