"""A child process that answers in place of this one, within limits."""

from __future__ import annotations

import os
import signal

import pytest

from lineal.config.confined import Exceeded, answer, each
from lineal.errors import BadConfiguration, LinealError, Location, MissingContent
from lineal.text import printable

MEMORY = 128 << 20


def work(item: str) -> str:
    if item.endswith("for ever"):
        # What has been set is long, so that the others are not held up too long on a busy machine.
        assert 0 < signal.alarm(1) <= 60
    if item == "for ever":
        while True:
            pass
    if item == "in C for ever":
        sum(range(10**14))
    if item == "memory":
        return "x" * (1 << 30)
    if item == "killed":
        os.kill(os.getpid(), 9)
    if item == "refused":
        raise BadConfiguration("no", id="LN-1001", place=Location("a", 2, "b"), remedy="Do.")
    if item == "fault":
        raise ZeroDivisionError("a fault")
    return f"{item} {os.getpid()}"


def test_an_item_that_takes_too_much_costs_itself_alone() -> None:
    items = ["a", "for ever", "in C for ever", "b", "memory", "killed", "refused", "fault", "c"]
    found = list(each(work, items, seconds=60, memory=MEMORY))
    assert [type(one) for one in found] == [
        str, Exceeded, Exceeded, str, Exceeded, Exceeded, BadConfiguration, LinealError, str,
    ]  # fmt: skip
    assert str(found[6]) == "a:2: b: no Do. [LN-1001]" and "ZeroDivisionError: a fault" in str(found[7])
    assert str(os.getpid()) not in [str(one).split()[-1] for one in found if isinstance(one, str)]


def test_one_child_serves_for_items_that_behave() -> None:
    found = list(each(work, ["a", "b", "refused", "c"], seconds=60, memory=MEMORY))
    assert len({str(one).split()[-1] for one in found if isinstance(one, str)}) == 1


def test_whoever_stops_reading_leaves_no_process_behind() -> None:
    answers = each(work, ["a", "for ever"], seconds=60, memory=MEMORY)
    pid = int(str(next(answers)).split()[1])
    answers.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_is_asked_is_asked_here() -> None:
    asked: list[object] = []

    def ask(name: str, default: str = "") -> str:
        asked.append((name, default, os.getpid()))
        if name == "no":
            raise MissingContent("sha256:1", "here")
        return name + default

    assert answer(lambda call: call("a") + call("b", default="c"), ask, seconds=60, memory=MEMORY) == "abc"
    assert asked == [("a", "", os.getpid()), ("b", "c", os.getpid())]
    with pytest.raises(MissingContent) as missing:
        answer(lambda call: call("no"), ask, seconds=60, memory=MEMORY)
    assert missing.value.digest == "sha256:1"
    with pytest.raises(Exceeded):
        answer(lambda call: work("for ever") + printable("x"), ask, seconds=60, memory=MEMORY)
