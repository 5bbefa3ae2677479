"""The protocol broken on purpose: the simulation misses each of its steps when it is left out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineal.build.order import Order
from lineal.git.history import Ancestry, HistoryAnswer
from lineal.stages import lookup, publish, visibility
from lineal.stages.candidate import Candidate
from lineal.stages.lookup import Lookup
from lineal.stages.publish import Publisher
from tests.simulation.registry import Client
from tests.simulation.scenario import play
from tests.simulation.test_promises import MOODS

TRIES = 4000
"""Schedules, always the same ones; the first tens to hundreds of them are enough."""


def numbers(seed: int) -> bytes:
    chance = random.Random(seed)
    harmless = chance.choice((0.0, 0.3, 0.6, 0.85))
    return bytes(0 if chance.random() < harmless else chance.randrange(256) for _ in range(chance.choice((60, 300))))


def broken_promise(mood: str, tries: int = TRIES) -> str:
    for seed in range(tries):
        story = play(numbers(seed), MOODS[mood])
        if story.wrong:
            return f"{seed}: {story.wrong[0]}"
    return ""


def without_the_second_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lookup, "find_now", lambda self, checksum: lookup.Resolution(None, ""))


def without_looking_around(patch: pytest.MonkeyPatch) -> None:
    real = Lookup.survey
    patch.setattr(
        Lookup, "survey", lambda self, own, since: replace(real(self, own, since), claims=(own,), listed=True)
    )


def without_leaving_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(publish, "GRACE", 0.0)


def with_an_old_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(publish, "LOOK", 10_000.0)


def without_a_last_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lookup, "settle", lambda self, findings: {})


def burying_the_living(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(publish, "DEAD", 0.0)


def with_the_local_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Client, "now", lambda self: int(self._actor.time.wall() * 1000))


def with_the_anchor_first(patch: pytest.MonkeyPatch) -> None:
    real = Publisher._claim

    def claim(self: Any, checksum: str, made: Callable[[int], Candidate], begun: Any) -> publish.Publication:
        self._store.try_tag(made(self._store.now()).index, checksum)
        return real(self, checksum, made, begun)

    patch.setattr(Publisher, "_claim", claim)


def without_the_rule_of_trees(patch: pytest.MonkeyPatch) -> None:
    real = visibility._verdict

    def verdict(record: Any, line: Any, lineage: HistoryAnswer) -> visibility.Verdict:
        return real(replace(record, tree="f" * 40), line, replace(lineage, trees={"f" * 40: None}))

    patch.setattr(visibility, "_verdict", verdict)


def seeing_everything(patch: pytest.MonkeyPatch) -> None:
    real = visibility._verdict
    yes = visibility.Verdict(Ancestry.YES, "whatever")
    patch.setattr(visibility, "_verdict", lambda *args: replace(real(*args), answer=yes.answer))


def with_timestamps_below_others(patch: pytest.MonkeyPatch) -> None:
    real = Lookup.find_now
    patch.setattr(Lookup, "find_now", lambda self, checksum: replace(real(self, checksum), newest=0))
    with_the_local_clock(patch)


def keeping_what_is_made_of_a_loser(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Order, "outdated", lambda self: [])


def publishing_in_any_order(patch: pytest.MonkeyPatch) -> None:
    def publishable(self: Order[Any]) -> list[Any]:
        ready, self._made = list(self._made.values()), {}
        return ready

    patch.setattr(Order, "publishable", publishable)


@pytest.mark.parametrize("mood", ["quiet", "hanging runners"])
def test_the_whole_protocol_breaks_none(mood: str) -> None:
    assert not broken_promise(mood, 500)


@pytest.mark.parametrize(
    ("mutation", "mood"),
    [
        (without_the_second_look, "quiet"),
        (without_looking_around, "quiet"),
        (without_leaving_time, "quiet"),
        (with_an_old_look, "hanging runners"),
        (without_a_last_look, "quiet"),
        (burying_the_living, "quiet"),
        pytest.param(with_the_local_clock, "hanging runners", marks=pytest.mark.long),
        (with_the_anchor_first, "quiet"),
        (without_the_rule_of_trees, "quiet"),
        (seeing_everything, "quiet"),
        (with_timestamps_below_others, "hanging runners"),
        (keeping_what_is_made_of_a_loser, "quiet"),
        (publishing_in_any_order, "quiet"),
    ],
)
def test_a_broken_protocol_breaks_a_promise(
    mutation: Callable[[pytest.MonkeyPatch], None], mood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert broken_promise(mood)
