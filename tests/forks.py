"""Runs of `lineal` in a third of the time: each is a fork of a process that has imported everything.

There are two of them, which take turns: what depends on the order of a set differs from one run to the next, as it
does for users. `python -m tests.forks FD` is such a process. It is asked through the socket FD: one message for each
run, JSON with the descriptors of a socket for the exit code and of the files for the run's two streams."""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_LONGEST = 1 << 18
_TURNS = itertools.count()
_STARTING = threading.Lock()
"""A cache calls its function twice for two threads at once; what the first one made would end, with its runs."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left: its exit code (negative for a signal) and its two streams."""

    code: int
    stdout: str
    stderr: str


def run(*args: str, cwd: Path, env: Mapping[str, str], timeout: float = 300, die: int = 0, nice: int = 0) -> Result:
    """`lineal` to its end; several threads may do so at once. It is killed after `timeout` seconds, and with `die` at
    that write to the store, see `tests.e2e.steps`. `nice` is for `os.nice`."""
    ours, theirs = socket.socketpair()
    with _stream() as out, _stream() as err, ours:
        with theirs:
            order = {"args": args, "cwd": str(cwd), "env": dict(env), "timeout": timeout, "die": die, "nice": nice}
            descriptors = [theirs.fileno(), out.fileno(), err.fileno()]
            with _STARTING:
                server = _server(next(_TURNS) % 2)
            socket.send_fds(server, [json.dumps(order).encode()], descriptors)
        code = ours.makefile().read()
        assert code, "the server of forks has ended"
        said = [_read(stream) for stream in (out, err)]
    return Result(int(code), *said)


def _stream() -> Any:
    """A file that no disk has."""
    return os.fdopen(os.memfd_create("stream"), "w+b")


def _read(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode(errors="replace"))


@functools.cache
def _server(number: int) -> socket.socket:
    """One of this process; it ends when that does."""
    del number
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.forks", str(theirs.fileno())]
        subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    return ours


# --- the server -----------------------------------------------------------------------------------------------------


def _import_everything() -> None:
    import lineal

    for module in pkgutil.walk_packages(lineal.__path__, "lineal."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # what needs an extra
                importlib.import_module(module.name)
    _load_a_project()
    # No run has to look through what is here, which would copy it.
    gc.freeze()


def _load_a_project() -> None:
    """So that what is worked out once about the classes behind lineal.yaml is there."""
    from lineal.config.giterminism import Giterminism
    from lineal.config.load import load
    from lineal.config.template import GitFacts

    text = "project: shop\nimages: {app: {}}\n"
    load(text, env=None, vars={}, git=GitFacts("c", "c"), environ={}, giterminism=Giterminism())


def _next_order(orders: socket.socket) -> dict[str, Any]:
    """Returns in a new process for each order, which is to become the run. This one answers how it ended: a process
    for that would take a fork more, which is the dearest of a short run."""
    running: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([orders.fileno(), *running], [], [])
        for ended in running.keys() & set(ready):
            _answer(ended, *running.pop(ended))
        if orders.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(orders, _LONGEST, 3)
        if not message:
            os._exit(0)
        answer, out, err = descriptors
        child = os.fork()
        if child == 0:
            break
        running[os.pidfd_open(child)] = child, answer
        os.close(out)
        os.close(err)
    orders.close()
    os.dup2(out, 1)
    os.dup2(err, 2)
    # Whoever waits for another run waits until nobody has its answer open.
    for descriptor in (answer, out, err, *running, *(theirs for _, theirs in running.values())):
        os.close(descriptor)
    order: dict[str, Any] = json.loads(message)
    return order


def _answer(ended: int, child: int, answer: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # nobody waits any more
        os.write(answer, str(code).encode())
    os.close(ended)
    os.close(answer)


def _become(order: dict[str, Any]) -> None:
    from lineal.cli import main

    signal.setitimer(signal.ITIMER_REAL, order["timeout"])
    os.nice(order["nice"])
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if order["die"]:
        from tests.e2e.steps import die_at

        die_at(order["die"])
    sys.argv = ["lineal", *order["args"]]
    main()


if __name__ == "__main__":
    _import_everything()
    _become(_next_order(socket.socket(fileno=int(sys.argv[1]))))
