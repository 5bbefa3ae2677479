"""One reading for all who ask while another one is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from typing import Generic, TypeVar

from lineal.value import dataclass

Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Batch(Generic[Answer]):
    keys: set[str] = field(default_factory=set)
    answers: Mapping[str, Answer] | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.answers is not None or self.error is not None


class Together(Generic[Answer]):
    """Readings that begin one after the other, each for all that was asked by then. So an answer is never older than
    its question, and many questions cost few readings. Safe to use from several threads."""

    def __init__(self, read: Callable[[Collection[str]], Mapping[str, Answer]]) -> None:
        """`read` answers all of some keys."""
        self._read = read
        self._changed = threading.Condition()
        self._gathering: _Batch[Answer] = _Batch()
        """What the next reading is to answer."""
        self._busy = False

    def ask(self, key: str) -> Answer:
        """Raises what the reading raises."""
        with self._changed:
            batch = self._gathering
            batch.keys.add(key)
            while not batch.done and self._busy:
                self._changed.wait()
            if not batch.done:
                self._gathering, self._busy = _Batch(), True
        if not batch.done:
            self._answer(batch)
        if batch.answers is None:
            assert batch.error is not None
            raise batch.error
        return batch.answers[key]

    def _answer(self, batch: _Batch[Answer]) -> None:
        try:
            batch.answers = self._read(batch.keys)
        except BaseException as error:  # noqa: BLE001 (raised in `ask`)
            batch.error = error
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
