"""One process for each piece of work, some at once: what crashes, hangs or eats memory takes nothing else with it."""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Generic, TypeVar

Work = TypeVar("Work")
Answer = TypeVar("Answer")
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why a process gave none, as a sentence."""

    reason: str


@dataclass(slots=True)
class _Running(Generic[Work]):
    work: Work
    process: ForkProcess
    end: float


def in_processes(
    do: Callable[[Work], Answer], all_work: Sequence[Work], workers: int, seconds: float
) -> Iterator[tuple[Work, Answer | NoAnswer]]:
    """The answers as they come. A process that takes longer than so many seconds is killed."""
    waiting = deque(all_work)
    running: dict[Connection, _Running[Work]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            pipe, started = _start(do, waiting.popleft(), seconds)
            running[pipe] = started
        first = min(one.end for one in running.values())
        said = wait(list(running), max(0.0, first - time.monotonic()))
        ready = [pipe for pipe in running if pipe in said]
        late = [pipe for pipe, one in running.items() if one.end <= time.monotonic() and pipe not in ready]
        for pipe in [*ready, *late]:
            one = running.pop(pipe)
            yield one.work, _answer(pipe, one.process) if pipe in ready else _killed(pipe, one.process, seconds)


def _start(do: Callable[[Work], Answer], work: Work, seconds: float) -> tuple[Connection, _Running[Work]]:
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_run, args=(do, work, theirs))
    process.start()
    theirs.close()
    return ours, _Running(work, process, time.monotonic() + seconds)


def _run(do: Callable[[Work], Answer], work: Work, pipe: Connection) -> None:
    pipe.send(do(work))


def _answer(pipe: Connection, process: ForkProcess) -> Answer | NoAnswer:
    try:
        found: Answer = pipe.recv()
        return found
    except EOFError:
        process.join()
        return NoAnswer(f"its process ended with {process.exitcode}")
    finally:
        pipe.close()
        process.join()


def _killed(pipe: Connection, process: ForkProcess, seconds: float) -> NoAnswer:
    process.kill()
    process.join()
    pipe.close()
    return NoAnswer(f"no answer within {seconds:g} s")
