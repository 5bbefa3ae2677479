"""G1 to G5 and G9 over thousands of schedules of runs that meet; a failure is shrunk to a readable story.

`make test` tries 2,000 schedules, `make test-long` 100,000, CI 5,000 (LINEAL_SCHEDULES)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.scenario import play
from tests.simulation.world import Mood

SCHEDULES = int(os.environ.get("LINEAL_SCHEDULES", "2000"))
MOODS = {
    "quiet": Mood(),
    "hanging runners": Mood(hiccups=24, skew=7200),
    "lost answers": Mood(losses=80, hiccups=8, skew=7200),
    "killed runs": Mood(crashes=8, losses=16, skew=7200),
    "lagging lists": Mood(lag=1.0, losses=16, skew=7200),
    "everything": Mood(crashes=4, losses=24, hiccups=12, lag=1.0, skew=7200),
}
NUMBERS = st.binary(max_size=400)


@pytest.mark.hypothesis
@pytest.mark.parametrize("immutable", [False, True], ids=["tags can move", "immutable tags"])
@pytest.mark.parametrize("locked", [False, True], ids=["no lock", "lock"])
@pytest.mark.parametrize("mood", MOODS.values(), ids=MOODS)
def test_every_schedule_keeps_the_promises(mood: Mood, locked: bool, immutable: bool) -> None:
    share = 2 if immutable else 6

    @given(NUMBERS)
    @settings(
        max_examples=max(10, SCHEDULES * share // 96), deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def schedules(numbers: Sequence[int]) -> None:
        story = play(numbers, mood, locked=locked, immutable=immutable)
        assert not story.wrong, str(story)

    schedules()
