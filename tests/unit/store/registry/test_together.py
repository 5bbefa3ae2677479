"""Questions that share a reading: none gets an answer that is older than itself."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from lineal.store.registry.together import Together


def test_no_answer_is_older_than_its_question() -> None:
    guard, began = threading.Lock(), 0

    def read(keys: Collection[str]) -> Mapping[str, int]:
        nonlocal began
        with guard:
            began += 1
            number = began
        return dict.fromkeys(keys, number)

    together = Together(read)

    def ask(key: str) -> bool:
        with guard:
            before = began
        return together.ask(key) > before

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, (str(number % 5) for number in range(2000))))
    assert began <= 2000


def test_who_asks_during_a_reading_shares_the_next_one() -> None:
    begun, may, readings = threading.Event(), threading.Event(), list[set[str]]()

    def read(keys: Collection[str]) -> Mapping[str, int]:
        readings.append(set(keys))
        begun.set()
        assert may.wait(timeout=300)
        return {key: len(readings) for key in keys}

    together = Together(read)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(together.ask, "first")
        assert begun.wait(timeout=300)
        rest = [pool.submit(together.ask, str(number)) for number in range(8)]
        while len(together._gathering.keys) < 8:
            pass
        may.set()
        assert first.result() == 1
        assert {answer.result() for answer in rest} == {2}
    assert readings == [{"first"}, set(map(str, range(8)))]


def test_a_reading_that_fails_fails_for_all_of_it_and_for_nobody_later() -> None:
    failing = True

    def read(keys: Collection[str]) -> Mapping[str, int]:
        if failing:
            raise ConnectionError("gone")
        return dict.fromkeys(keys, 1)

    together = Together(read)
    with pytest.raises(ConnectionError, match="gone"):
        together.ask("a")
    failing = False
    assert together.ask("a") == 1
