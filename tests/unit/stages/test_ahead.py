"""Questions that are asked before anybody needs the answers."""

from __future__ import annotations

import threading

import pytest

from lineal.stages.ahead import Ahead, Key


def test_each_answer_is_given_to_who_takes_it_once() -> None:
    keys = [(f"tag{number}", "sum") for number in range(20)]
    asked = Ahead[str](3)
    asked.ask("-".join, keys)
    taken = [asked.take(key) for key in keys]
    assert [answer() for answer in taken if answer] == [f"tag{number}-sum" for number in range(20)]
    assert asked.take(keys[0]) is None and asked.take(("other", "sum")) is None


def test_what_asking_raises_is_raised_to_who_takes_it() -> None:
    def ask(key: Key) -> str:
        if key[0] == "bad":
            raise KeyError("no")
        return key[0]

    asked = Ahead[str](1)
    asked.ask(ask, [("bad", ""), ("good", "")])
    bad, good = asked.take(("bad", "")), asked.take(("good", ""))
    assert bad and good and good() == "good"
    with pytest.raises(KeyError, match="no"):
        bad()


def test_more_is_asked_for_while_an_answer_is_found_and_forgotten_when_nobody_takes_it() -> None:
    asked = Ahead[str](1)

    def ask(key: Key) -> str:
        if key[0] == "first":
            asked.ask("-".join, [key, ("second", "of it")])
        return key[0]

    asked.ask(ask, [("first", "")])
    first = asked.take(("first", ""))
    assert first and first() == "first"
    second = asked.take(("second", "of it"))
    assert second and second() == "second-of it"
    asked.ask("-".join, [("third", "")])
    asked.forget()
    assert asked.take(("third", "")) is None


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
    asked = Ahead[Key](2)
    asked.ask(ask, keys)
    answers = [asked.take(key) for key in keys]
    busy.wait(60)
    assert len(seen) == 2 and all(thread.daemon for thread in seen)
    go.set()
    assert [answer() for answer in answers if answer] == keys
    assert len(set(seen)) == 2
