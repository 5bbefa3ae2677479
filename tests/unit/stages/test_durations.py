"""What published stages tell of how long they and those that they are made of took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from lineal.dockerfile.stage import Stage, closure
from lineal.stages import durations
from lineal.stages.candidate import Candidate
from lineal.stages.durations import durations_of, known_durations
from lineal.store.record import Record
from tests.unit.stages.workbench import MemoryStore, planned, put, record

TEXT = """\
FROM base AS tools
RUN one
FROM base
COPY --from=tools /a /
RUN two
CMD x
"""


def found(took: Mapping[str, tuple[int, ...]]) -> dict[str, Candidate]:
    """Of published stages, by checksum; each with what it tells."""

    def candidate(one: Record) -> Candidate:
        return Candidate(one, one.checksum, put(MemoryStore(), one))

    records = [replace(record(checksum=checksum), durations=told) for checksum, told in took.items()]
    return {one.checksum: candidate(one) for one in records}


def of(there: Mapping[str, Candidate]) -> Callable[[Stage], Candidate | None]:
    return lambda stage: there.get(stage.checksum)


def built(stages: list[Stage]) -> tuple[dict[str, Candidate], dict[str, int]]:
    """As a run leaves them that has built all of these, and what each took."""
    took = {stage.checksum: 1000 + number for number, stage in enumerate(stages)}
    there: dict[str, Candidate] = {}
    for stage in stages:
        there |= found({stage.checksum: durations_of(stage, took[stage.checksum], of(there))})
    return there, took


def test_the_last_stage_alone_tells_of_all_that_it_is_made_of() -> None:
    last = planned(TEXT)
    stages = closure([last])
    there, took = built(stages)
    assert known_durations(stages, of({last.checksum: there[last.checksum]})) == took


def test_each_stage_knows_itself_best() -> None:
    last = planned(TEXT)
    stages = closure([last])
    there, took = built(stages)
    first = stages[0].checksum
    assert known_durations(stages, of({**there, **found({first: (7,)})})) == {**took, first: 7}


def test_of_what_nobody_tells_nothing_is_known() -> None:
    """Stages that an earlier version has published tell nothing."""
    last = planned("FROM base\nRUN one\nRUN two\n")
    first, second, third = stages = closure([last])
    there = found({first.checksum: (), second.checksum: ()})
    there |= found({third.checksum: durations_of(third, 5, of(there))})
    assert known_durations(stages, of(there)) == {third.checksum: 5}


@pytest.mark.parametrize("told", [(1,), (1, 2, 3), (1,) * 600])
def test_what_is_told_of_other_stages_than_these_is_not_believed(told: tuple[int, ...]) -> None:
    last = planned("FROM base\nRUN one\n")
    assert known_durations(closure([last]), of(found({last.checksum: told}))) == {}


def test_what_is_made_of_very_many_tells_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    last = planned(TEXT)
    monkeypatch.setattr(durations, "_MOST", len(closure([last])) - 1)
    assert durations_of(last, 5, of({})) == ()
