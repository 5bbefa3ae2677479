"""G10 over thousands of schedules in which strangers publish, too; and the checks broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from lineal.git.history import Ancestry
from lineal.stages import visibility
from lineal.stages.eligibility import Eligibility
from lineal.stages.lane import CLOSED
from lineal.stages.lookup import Lookup
from lineal.stages.visibility import Verdict
from lineal.store.record import PREFIX
from lineal.trust import Evidence, mark, signed
from lineal.trust import Verdict as Judgement
from tests.simulation import trust
from tests.simulation.test_mutations import numbers
from tests.simulation.test_promises import MOODS, NUMBERS, SCHEDULES
from tests.simulation.trust import play
from tests.simulation.world import Mood

WORLDS = {
    "strangers": {"adversary": True, "opened": False, "immutable": False},
    "strangers, immutable tags": {"adversary": True, "opened": False, "immutable": True},
    "runs without the key": {"adversary": False, "opened": True, "immutable": False},
    "all of them": {"adversary": True, "opened": True, "immutable": False},
    "signatures": {"adversary": True, "opened": True, "immutable": False, "signed": True},
    "signatures, no strangers": {"adversary": False, "opened": True, "immutable": False, "signed": True},
}


@pytest.mark.hypothesis
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("mood", MOODS.values(), ids=MOODS)
def test_no_schedule_lets_a_stranger_in(mood: Mood, world: dict[str, bool]) -> None:
    share = 24 if SCHEDULES > 2000 else 120

    @given(NUMBERS)
    @settings(
        max_examples=max(10, SCHEDULES // share),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def schedules(chosen: Sequence[int]) -> None:
        story = play(chosen, mood, **world)
        assert not story.wrong, str(story)

    schedules()


# --- the checks broken on purpose -------------------------------------------------------------------------------


def believing_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Eligibility, "doubt", lambda self, candidate: "")


def believing_any_mark(patch: pytest.MonkeyPatch) -> None:
    def judge(self: Any, evidence: Evidence) -> Judgement:
        return Judgement(mark.is_marked(evidence.index), "")

    patch.setattr(mark.Marks, "judge", judge)


def without(*names: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A mark that does not cover some of what a reader relies on."""

    def mutation(patch: pytest.MonkeyPatch) -> None:
        real = mark._stage

        def stage(document: dict[str, Any], repository: str) -> bytes:
            found = json.loads(real(document, repository))
            if "repository" in names:
                found[1] = ""
            if "image" in names:
                found[3] = []
            found[2] = {name: value for name, value in found[2].items() if name.removeprefix(PREFIX) not in names}
            return json.dumps(found, sort_keys=True).encode()

        patch.setattr(mark, "_stage", stage)

    return mutation


def believing_any_signature(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signed, "vouching", lambda statement, signatures, keys: keys[0])


def doubting(*wrong: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Signatures that are believed although this is wrong."""

    def mutation(patch: pytest.MonkeyPatch) -> None:
        real = signed.SignedStages.judge

        def judge(self: Any, evidence: Evidence) -> Judgement:
            verdict = real(self, evidence)
            return verdict if not verdict.reason.startswith(wrong) else Judgement(True, "")

        patch.setattr(signed.SignedStages, "judge", judge)

    return mutation


def waiting_for_strangers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lookup, "_is_claim", lambda self, candidate: True)


def above_the_end_of_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Eligibility, "newest", lambda self, tags, read: max((int(tag.rpartition("-")[2]) for tag in tags), default=0)
    )


def with_one_lane(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trust, "OPEN", CLOSED)


def seeing_everything(patch: pytest.MonkeyPatch) -> None:
    """A marked stage is good for every line of history."""
    patch.setattr(visibility, "judge", lambda records, line, history: [Verdict(Ancestry.YES, "") for _ in records])


@pytest.mark.parametrize(
    ("mutation", "world"),
    [
        (believing_everybody, "strangers"),
        (believing_any_mark, "strangers"),
        (without("repository"), "strangers"),
        (without("image"), "strangers"),
        pytest.param(without("checksum"), "strangers", marks=pytest.mark.long),
        pytest.param(without("commits"), "strangers", marks=pytest.mark.long),
        pytest.param(without("tree"), "strangers", marks=pytest.mark.long),
        (without("created"), "strangers"),
        (waiting_for_strangers, "strangers"),
        (above_the_end_of_time, "strangers"),
        (believing_everybody, "signatures"),
        (believing_any_signature, "signatures"),
        (doubting(signed._OTHER), "signatures"),
        (doubting(signed._PART), "signatures"),
        (doubting(signed._ELSEWHERE), "signatures"),
        (doubting("signed for pull request"), "signatures"),
        (with_one_lane, "runs without the key"),
        (seeing_everything, "strangers"),
    ],
)
def test_a_broken_check_lets_somebody_in(
    mutation: Callable[[pytest.MonkeyPatch], None], world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert any(play(numbers(seed), MOODS["quiet"], **WORLDS[world]).wrong for seed in range(4000))
