"""Questions that are asked before anybody needs the answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar

Answer = TypeVar("Answer")
Key = tuple[str, str]


class Ahead(Generic[Answer]):
    """They are asked by threads that keep no run from ending, as those of a pool would. A run that finds everything
    asks for nothing else: so it need not read the modules of the standard library's pools and futures."""

    def __init__(self, threads: int, submit: Callable[[Callable[[], None]], object]) -> None:
        """`threads` are the most that one call begins; `submit` gives work to a pool."""
        self._threads, self._submit = threads, submit
        self._promises: dict[Key, _Promise[Answer]] = {}

    def expect(self, question: Callable[[Key], Answer], keys: Iterable[Key]) -> None:
        """Begin to ask for those that nobody has asked for."""
        new = {key: _Promise[Answer]() for key in keys if key not in self._promises}
        self._promises |= new
        self._begin(question, new, _in_a_thread)

    def forget(self, key: Key) -> None:
        """What was asked until now is not the answer."""
        self._promises.pop(key, None)

    def answers(self, question: Callable[[Key], Answer], keys: Iterable[Key]) -> Iterator[tuple[Key, Answer]]:
        """As they come: of those that were expected, once, and of the others, which the pool asks for now. Raises
        what asking raised."""
        expected = {key: self._promises.pop(key, None) for key in keys}
        new = {key: _Promise[Answer]() for key, promise in expected.items() if promise is None}
        self._begin(question, new, self._submit)
        arrived, come = deque[tuple[Key, _Promise[Answer]]](), threading.Semaphore(0)

        def tell(key: Key, kept: _Promise[Answer]) -> None:
            arrived.append((key, kept))
            come.release()

        for key, promise in expected.items():
            (promise or new[key]).tell(partial(tell, key))
        for _ in expected:
            come.acquire()
            key, kept = arrived.popleft()
            yield key, kept.result()

    def _begin(
        self, question: Callable[[Key], Answer], promises: dict[Key, _Promise[Answer]],
        start: Callable[[Callable[[], None]], object],
    ) -> None:  # fmt: skip
        left = deque(promises.items())
        for _ in range(min(len(left), self._threads)):
            start(partial(_work, question, left))


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="expect", daemon=True).start()


def _work(question: Callable[[Key], Answer], left: deque[tuple[Key, _Promise[Answer]]]) -> None:
    while left:
        try:
            key, promise = left.popleft()
        except IndexError:
            return
        try:
            promise.keep(question(key))
        except BaseException as error:  # noqa: BLE001 (it is for who asks)
            promise.fail(error)


class _Promise(Generic[Answer]):
    def __init__(self) -> None:
        self._answers: list[Answer] = []
        self._error: BaseException | None = None
        self._told: list[Callable[[_Promise[Answer]], object]] | None = []
        """Who is to be told; None when it is kept."""
        self._guard = threading.Lock()

    def keep(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._tell()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._tell()

    def _tell(self) -> None:
        with self._guard:
            told, self._told = self._told or [], None
        for tell in told:
            tell(self)

    def tell(self, whom: Callable[[_Promise[Answer]], object]) -> None:
        """As soon as it is kept."""
        with self._guard:
            if self._told is not None:
                self._told.append(whom)
                return
        whom(self)

    def result(self) -> Answer:
        if self._error is not None:
            raise self._error
        return self._answers[0]
