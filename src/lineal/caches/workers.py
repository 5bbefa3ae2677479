"""Threads for packs on their way. A run that has given up a cache ends without them, whatever a registry does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

_T = TypeVar("_T")
_Task = tuple["Future[Any]", Callable[[], Any]]


class Workers(Executor):
    """As a `ThreadPoolExecutor`, but Python does not wait for its threads before it ends."""

    def __init__(self, count: int) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._count = count
        self._guard = Lock()
        self._stopped = False
        for _ in range(count):
            Thread(target=self._work, name="cache", daemon=True).start()

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Raises RuntimeError after `stop`: nobody would do it."""
        future: Future[_T] = Future()
        with self._guard:
            if self._stopped:
                raise RuntimeError("the workers are stopped")
            self._tasks.put((future, lambda: fn(*args, **kwargs)))
        return future

    def stop(self) -> None:
        """What has not begun is cancelled; what has is not waited for."""
        with self._guard:
            self._stopped = True
        with suppress(Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task[0].cancel()
        for _ in range(self._count):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, call = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 (raised where its result is asked for)
                future.set_exception(error)
