"""Questions that are asked before anybody needs the answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

from lineal.stages.ahead import Ahead, Key


def _refuse(key: Key) -> NoReturn:
    raise AssertionError(f"{key} is asked for a second time")


def _pool(work: Callable[[], None]) -> None:
    threading.Thread(target=work).start()


def _refuse_work(work: Callable[[], None]) -> NoReturn:
    raise AssertionError(f"{work} is given to the pool")


def test_each_answer_is_given_once() -> None:
    keys = [(f"tag{number}", "sum") for number in range(20)]
    asked = Ahead[str](3, _pool)
    asked.expect("-".join, keys)
    asked.expect(_refuse, keys)
    assert dict(asked.answers(_refuse, keys)) == {key: f"{key[0]}-sum" for key in keys}
    assert dict(asked.answers(lambda key: "anew", keys[:1])) == {keys[0]: "anew"}


def test_an_answer_does_not_wait_for_one_that_was_asked_before() -> None:
    go, slow, fast = threading.Event(), ("slow", ""), ("fast", "")

    def ask(key: Key) -> str:
        assert key == fast or go.wait(60)
        return key[0]

    asked = Ahead[str](2, _pool)
    answers = asked.answers(ask, [slow, fast])
    assert next(answers) == (fast, "fast")
    go.set()
    assert list(answers) == [(slow, "slow")]


def test_what_asking_raises_is_raised_to_who_wants_the_answer() -> None:
    def ask(key: Key) -> str:
        if key[0] == "bad":
            raise KeyError("no")
        return key[0]

    asked = Ahead[str](1, _pool)
    asked.expect(ask, [("bad", ""), ("good", "")])
    assert list(asked.answers(_refuse, [("good", "")])) == [(("good", ""), "good")]
    with pytest.raises(KeyError, match="no"):
        list(asked.answers(_refuse, [("bad", "")]))


def test_more_is_expected_while_an_answer_is_found() -> None:
    asked, first, second = Ahead[str](1, _pool), ("first", ""), ("second", "")

    def ask(key: Key) -> str:
        asked.expect("-".join, [first, second])
        return key[0]

    asked.expect(ask, [first])
    assert list(asked.answers(_refuse, [first])) == [(first, "first")]
    assert list(asked.answers(_refuse, [second])) == [(second, "second-")]


def test_what_is_forgotten_is_asked_for_anew() -> None:
    asked, key = Ahead[str](1, _pool), ("tag", "sum")
    asked.expect("-".join, [key])
    asked.forget(key)
    assert list(asked.answers(lambda key: "anew", [key])) == [(key, "anew")]


def test_no_more_than_so_many_ask_at_once_and_none_of_them_keeps_a_run_from_ending() -> None:
    go, busy = threading.Event(), threading.Barrier(3)
    seen: list[threading.Thread] = []

    def ask(key: Key) -> Key:
        seen.append(threading.current_thread())
        if len(seen) <= 2:
            busy.wait(60)
        go.wait(60)
        return key

    keys = [(str(number), "") for number in range(5)]
    asked = Ahead[Key](2, _refuse_work)
    asked.expect(ask, keys)
    busy.wait(60)
    assert len(seen) == 2 and all(thread.daemon for thread in seen)
    go.set()
    assert sorted(answer for _, answer in asked.answers(_refuse, keys)) == keys
    assert len(set(seen)) == 2
