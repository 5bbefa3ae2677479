"""G11 over thousands of schedules of pipelines that move one tag; a failure is shrunk to a readable story."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings

from tests.simulation.moving import SHAPES, Shape, play
from tests.simulation.test_promises import MOODS, NUMBERS, SCHEDULES
from tests.simulation.world import Mood


@pytest.mark.hypothesis
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mood", MOODS.values(), ids=MOODS)
def test_no_schedule_moves_a_tag_back(mood: Mood, shape: Shape) -> None:
    @given(NUMBERS)
    @settings(
        max_examples=max(10, SCHEDULES // 24), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def schedules(numbers: Sequence[int]) -> None:
        story = play(numbers, mood, shape=shape)
        assert not story.wrong, str(story)

    schedules()
