"""The registry's time, told from whole seconds."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.store.registry.server_clock import ServerClock
from tests.unit.store.conftest import Naps


def test_without_an_answer_it_is_this_machines_time() -> None:
    naps = Naps(wall=1234.5)
    assert ServerClock(naps.time()).now() == 1234500


@given(
    st.floats(-600, 600),
    st.lists(st.tuples(st.floats(0.001, 3), st.floats(0, 1), st.floats(0, 0.5)), min_size=1, max_size=30),
)
def test_the_error_is_bounded_and_time_goes_forward(skew: float, answers: list[tuple[float, float, float]]) -> None:
    """A server `skew` seconds off, asked after pauses; each answer takes a while and is made somewhere in it."""
    naps = Naps()
    clock, last, best = ServerClock(naps.time()), 0, float("inf")
    for pause, where, trip in answers:
        naps.monotonic += pause
        sent = naps.monotonic
        server = 1_700_000_000 + skew + sent + where * trip
        naps.monotonic += trip
        clock.observe(formatdate(int(server), usegmt=True), sent, naps.monotonic)
        best = min(best, (1 + trip) / 2)
        now = clock.now()
        assert now >= last
        assert abs(now / 1000 - (1_700_000_000 + skew + naps.monotonic)) <= best + 1.1
        last = now


def test_many_answers_narrow_the_error() -> None:
    naps = Naps(monotonic=100.0)
    clock = ServerClock(naps.time())
    for number in range(20):
        naps.monotonic = 100.0 + number * 1.05
        clock.observe(formatdate(int(1_700_000_000.37 + naps.monotonic), usegmt=True), naps.monotonic, naps.monotonic)
    assert abs(clock.now() - (1_700_000_000_370 + naps.monotonic * 1000)) < 60


def test_a_server_whose_clock_was_set_is_believed() -> None:
    naps = Naps()
    clock = ServerClock(naps.time())
    clock.observe(formatdate(1000, usegmt=True), 50, 50)
    clock.observe(formatdate(5000, usegmt=True), 50, 50)
    assert 5_000_000 <= clock.now() <= 5_001_000


@pytest.mark.parametrize("date", [None, "", "yesterday", "99 Foo 2020", "Mon, 99 Jan 2020 00:00:00 GMT"])
def test_a_date_that_is_none_is_ignored(date: str | None) -> None:
    naps = Naps(wall=9.0)
    clock = ServerClock(naps.time())
    clock.observe(date, 1, 2)
    assert not clock.known
    assert clock.now() == 9000
