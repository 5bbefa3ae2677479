"""Runs a program that must get our signals (helm, sops): gives its lines as they come, and how it ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import FrameType
from typing import IO, Literal

from lineal.errors import Interrupted
from lineal.value import dataclass

Stream = Literal["stdout", "stderr"]
_Handler = Callable[[int, FrameType | None], object] | int | None
"""A signal handler, as `signal.signal` takes and returns it."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Stop = Callable[[], signal.Signals | None]
"""Answers the signal that the program is to get now, None for none."""
_AFTER_EXIT = 2.0
"""Seconds that output may still come from children which the program left behind."""


_TETHERED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"{sys.argv[2]} cannot be run: {error.strerror}")
"""
"""A program that asks the kernel to kill it when its parent dies (PR_SET_PDEATHSIG is 1), and then becomes the
program that is wanted. `preexec_fn` would do the same, but is not safe beside threads."""


_APART = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(failed):
    if failed:
        sys.exit(f"{sys.argv[1]} cannot have namespaces of its own: {os.strerror(ctypes.get_errno())}")
must(libc.unshare(0x20020000))
child = os.fork()
if child:
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    sys.exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
libc.prctl(1, signal.SIGKILL)
must(libc.mount(b"none", b"/", None, 0x44000, None))
must(libc.mount(b"proc", b"/proc", b"proc", 0, None))
for place in sys.argv[2].split(":"):
    os.makedirs(place, exist_ok=True)
    must(libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"mode=700"))
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Namespaces of processes and mounts (0x20020000), whose mounts nobody else sees (0x44000: MS_REC, MS_PRIVATE). The
program is the first process in there: when it ends, the kernel ends all others. SIGTERM kills it."""


def never() -> signal.Signals | None:
    return None


def go_on() -> bool:
    return False


def tether() -> list[str]:
    """What to put before a program's arguments so that the kernel kills it when this process dies."""
    if not sys.platform.startswith("linux") or not sys.executable:
        return []
    return [sys.executable, "-I", "-S", "-c", _TETHERED, str(os.getpid())]


def apart(name: str, private: Sequence[str]) -> list[str]:
    """What root puts before a program so that nothing of it is left when it ends or is killed: no process that it has
    started, no mount, and nothing in the directories `private`, which it finds empty. `name` is for a failure."""
    return [sys.executable, "-I", "-S", "-c", _APART, name, ":".join(private)]


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    """Exit status; negative when a signal ended it."""
    signals: tuple[signal.Signals, ...]
    """The signals that this process got meanwhile. The caller decides what they mean."""

    def or_interrupted(self, doing: str, state: str = "", *, remedy: str | None = None) -> None:
        """Raises `Interrupted` when a signal arrived: `{doing} was interrupted by SIGTERM{state}.`"""
        if self.signals:
            raise Interrupted(f"{doing} was interrupted by {self.signals[0].name}{state}.", remedy=remedy)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: Callable[[Stream, bytes], None],
    grace: float,
    shielded: bool = False,
    limit: float | None = None,
    stop: Stop = never,
    pause: Callable[[], bool] = go_on,
    tethered: bool = False,
) -> Outcome:
    """Run to the end. `output` gets every line with its newline, on the calling thread.

    The first SIGINT or SIGTERM is forwarded, and the program has `grace` seconds to end; the second kills it.
    `shielded` keeps them from it: for putting things in order after the first. `limit`: seconds before it is killed.
    `stop` is asked again and again, and the signal that it answers is sent once, with the same `grace`. As long as
    `pause` is true, the program is suspended.
    `tethered`: when we are killed, the program is too, so that the next run does not work beside it.
    On another thread than the main one no signal arrives here, and nothing is forwarded. Raises OSError when the
    program cannot be started."""
    with _Signals(shielded, grace, limit, stop, pause) as signals:
        # A group of its own: Ctrl-C on a terminal would otherwise reach it twice, once without us.
        process = subprocess.Popen(
            [*(tether() if tethered else ()), *argv],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        try:
            signals.watch(process)
            for stream, line in _lines(process, signals):
                output(stream, line)
            return Outcome(_wait(process, signals), tuple(signals.received))
        finally:
            _end(process, grace)


_REAPER = """
trap "" INT TERM HUP
if read -r _; then gone=$1; else gone=$2; fi
shift 2
tries=0
until "$@" rm -rf -- "$gone" || [ $tries = 100 ]; do tries=$((tries + 1)); sleep 0.1; done
"""
"""Whoever still writes there, when we are killed, is about to end."""


@contextlib.contextmanager
def reaped(directory: Path, killed: Path | None = None, through: Sequence[str] = ()) -> Iterator[None]:
    """Has the directory removed when the block ends, or this process, however it ends: of SIGKILL, too; then `killed`
    goes instead, which holds it. `through` is a program that starts `rm` as a user who may remove all that is there.

    A shell waits for the end of a pipe whose other end only this process has. Without a shell nothing is done."""
    reader, writer = os.pipe()
    try:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _REAPER, "sh", str(directory), str(killed or directory), *through],
            stdin=reader, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError:
        shell = None
    finally:
        os.close(reader)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(writer, b"\n")
        os.close(writer)
        if shell is not None:
            shell.wait()


def _lines(process: subprocess.Popen[bytes], signals: _Signals) -> Iterator[tuple[Stream, bytes]]:
    found: queue.SimpleQueue[tuple[Stream, bytes | None]] = queue.SimpleQueue()

    def read(stream: Stream, pipe: IO[bytes]) -> None:
        # A pipe that is closed while it is read ends the reading too.
        with contextlib.suppress(ValueError, OSError):
            for line in pipe:
                found.put((stream, line))
        found.put((stream, None))

    assert process.stdout is not None and process.stderr is not None
    for stream, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
        threading.Thread(target=read, args=(stream, pipe), daemon=True).start()
    open_streams = 2
    ended: float | None = None
    while open_streams:
        signals.check()
        try:
            stream, line = found.get(timeout=0.1)
        except queue.Empty:
            if process.poll() is not None:
                ended = ended or time.monotonic()
                if time.monotonic() - ended > _AFTER_EXIT:
                    return
            continue
        if line is None:
            open_streams -= 1
        else:
            yield stream, line


def _wait(process: subprocess.Popen[bytes], signals: _Signals) -> int:
    while True:
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            signals.check()


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """End a program that still runs, because an error of our own ended its use."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program's group. Not once it has been waited for: its id may be that of another process then."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def noticed() -> Iterator[list[signal.Signals]]:
    """The signals that arrive meanwhile, for what we do ourselves between two programs. They stop nothing."""
    with _Signals(shielded=True, grace=0.0, limit=None) as signals:
        yield signals.received


@dataclass(slots=True)
class _Signals:
    """Signal handlers of the time while the program runs; the former ones come back afterwards."""

    shielded: bool
    grace: float
    limit: float | None
    stop: Stop = never
    pause: Callable[[], bool] = go_on
    received: list[signal.Signals] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    deadline: float | None = None
    stopped: bool = False
    suspended: bool = False
    _former: dict[signal.Signals, _Handler] = field(default_factory=dict)

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._former[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        if self.limit is not None:
            self.deadline = time.monotonic() + self.limit
        for number in tuple(self.received):
            self._forward(number)

    def check(self) -> None:
        wanted = None if self.stopped or self.received else self.stop()
        if wanted is not None and self.process is not None:
            self.stopped = True
            self.deadline = time.monotonic() + self.grace
            self.process.send_signal(wanted)
        if self.process is not None and self.suspended != self.pause():
            self.suspended = not self.suspended
            self.process.send_signal(signal.SIGSTOP if self.suspended else signal.SIGCONT)
        if self.deadline is not None and self.process is not None and time.monotonic() > self.deadline:
            _kill(self.process)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(signal.Signals(number))
        if self.process is not None:
            self._forward(signal.Signals(number))

    def _forward(self, number: signal.Signals) -> None:
        if self.shielded or self.process is None:
            return
        if len(self.received) > 1:
            _kill(self.process)
            return
        self.deadline = time.monotonic() + self.grace
        # Not the group: a helper that fetches the cluster's credentials must live for the rollback.
        self.process.send_signal(number)
