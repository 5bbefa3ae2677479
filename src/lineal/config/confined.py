"""Runs what a stranger's text may keep busy for ever in a child process, with limits of time and memory."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from lineal.errors import LinealError, as_lineal_error

A = TypeVar("A")
T = TypeVar("T")
Ask = Callable[..., Any]
_Channel = Any
"""A socket as a file to read and to write."""


class Exceeded(Exception):
    """It took more time or memory than it may."""


def answer(work: Callable[[Ask], T], ask: Ask, *, seconds: int, memory: int) -> T:
    """What `work` answers in a child process. What it is given there calls `ask` in this one: for what prints, or
    asks the user. `seconds` are those of a clock, without those that this process takes for its answers; `memory` is
    in bytes, on top of what is used.

    Raises `Exceeded`, and the `LinealError` that `work` raises."""
    found = next(_each(lambda remote, _: work(remote), [None], ask, seconds, memory))
    if isinstance(found, Exception):
        raise found
    return found


def each(
    work: Callable[[A], T], items: Sequence[A], *, seconds: int, memory: int
) -> Iterator[T | LinealError | Exceeded]:
    """What `work` answers for each item, or how it failed. One child serves for all of them, and another one goes on
    behind an item that takes too much."""
    return _each(lambda _, item: work(item), items, as_lineal_error, seconds, memory)


def _each(
    work: Callable[[Ask, A], T], items: Sequence[A], ask: Ask, seconds: int, memory: int
) -> Iterator[T | LinealError | Exceeded]:
    done = 0
    while done < len(items):
        ours, theirs = socket.socketpair()
        child = os.fork()
        if not child:
            ours.close()
            _serve(theirs, work, items[done:], seconds, memory)
        theirs.close()
        try:
            for found in _answers(ours, ask):
                done += 1
                yield found
        finally:
            ours.close()
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if done < len(items):
            done += 1
            yield Exceeded()


def _answers(end: socket.socket, ask: Ask) -> Iterator[Any]:
    """What the child sends until it ends."""
    with end.makefile("rwb") as channel:
        while True:
            try:
                kind, value = pickle.load(channel)  # noqa: S301 (it is this program)
            except Exception:  # noqa: BLE001 (what is cut off can be anything)
                return
            if kind == "ask":
                _send(channel, partial(ask, *value[0], **value[1]))
            else:
                yield _unpacked(value) if kind == "failed" else value


def _serve(
    end: socket.socket, work: Callable[[Ask, Any], Any], items: Sequence[Any], seconds: int, memory: int
) -> NoReturn:
    """The child's whole life. Nothing is done at its end that a process does at its end: that is the parent's."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        _limit(memory)
        with end.makefile("rwb") as channel:

            def remote(*args: Any, **options: Any) -> Any:
                left = signal.alarm(0)
                pickle.dump(("ask", (args, options)), channel)
                channel.flush()
                kind, value = pickle.load(channel)  # noqa: S301 (it is the parent)
                signal.alarm(left)
                if kind == "failed":
                    raise _unpacked(value)
                return value

            for item in items:
                signal.alarm(seconds)
                _send(channel, partial(work, remote, item))
                signal.alarm(0)
    finally:
        os._exit(0)


def _send(channel: _Channel, call: Callable[[], Any]) -> None:
    try:
        found = "done", call()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (the other side says it)
        found = "failed", _packed(as_lineal_error(error))
    pickle.dump(found, channel)
    channel.flush()


def _limit(memory: int) -> None:
    """Elsewhere than on Linux the system says no such number, and time alone is limited."""
    with suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = used + memory
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


def _packed(error: LinealError) -> tuple[type[LinealError], dict[str, Any]]:
    """An error's class and parts: its constructor would want them otherwise than pickle gives them."""
    return type(error), {**vars(error), "others": tuple(map(_packed, error.others))}


def _unpacked(packed: tuple[type[LinealError], dict[str, Any]]) -> LinealError:
    kind, parts = packed
    error = kind.__new__(kind, parts["message"])
    vars(error).update({**parts, "others": tuple(map(_unpacked, parts["others"]))})
    return error
