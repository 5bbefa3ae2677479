"""Questions that are asked before anybody needs the answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")
Key = tuple[str, str]


class Ahead(Generic[Answer]):
    """They are asked by threads that keep no run from ending, as those of a pool would. A run that finds everything
    asks for nothing else: so it need not read the modules of the standard library's pools and futures."""

    def __init__(self, threads: int) -> None:
        """`threads` are the most that `ask` begins."""
        self._threads = threads
        self._answers: dict[Key, _Promise[Answer]] = {}

    def ask(self, question: Callable[[Key], Answer], keys: Iterable[Key]) -> None:
        """Begin to ask for those that nobody has asked for."""
        new = {key: _Promise[Answer]() for key in keys if key not in self._answers}
        self._answers |= new
        left = deque(new.items())
        for _ in range(min(len(left), self._threads)):
            threading.Thread(target=_answer, args=(question, left), name="expect", daemon=True).start()

    def take(self, key: Key) -> Callable[[], Answer] | None:
        """What waits for the answer, and raises what asking raised; once. None for what was not asked."""
        found = self._answers.pop(key, None)
        return found.result if found else None

    def forget(self) -> None:
        """Nobody takes what was asked until now."""
        self._answers.clear()


def _answer(question: Callable[[Key], Answer], left: deque[tuple[Key, _Promise[Answer]]]) -> None:
    while left:
        try:
            key, promise = left.popleft()
        except IndexError:
            return
        try:
            promise.answers.append(question(key))
        except BaseException as error:  # noqa: BLE001 (it is for who asks)
            promise.error = error
        promise.kept.set()


class _Promise(Generic[Answer]):
    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.error: BaseException | None = None
        self.kept = threading.Event()

    def result(self) -> Answer:
        self.kept.wait()
        if self.error is not None:
            raise self.error
        return self.answers[0]
