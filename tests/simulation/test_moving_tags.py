"""G11 over thousands of schedules of pipelines that move one tag; a failure is shrunk to a readable story."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from lineal.publish import moving_tag
from lineal.publish.moving_tag import _Mover
from tests.simulation.moving import Shape, play
from tests.simulation.test_mutations import numbers
from tests.simulation.test_promises import MOODS, NUMBERS, SCHEDULES


@pytest.mark.hypothesis
@pytest.mark.parametrize("shape", ["line", "branches", "pushes"])
@pytest.mark.parametrize("mood", MOODS.values(), ids=MOODS)
def test_no_schedule_moves_a_tag_back(mood: Any, shape: Shape) -> None:
    @given(NUMBERS)
    @settings(
        max_examples=max(10, SCHEDULES // 12), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def schedules(numbers: Sequence[int]) -> None:
        story = play(numbers, mood, shape=shape)
        assert not story.wrong, str(story)

    schedules()
