"""The order of steps by which tags move, broken on purpose: the simulation misses each step that is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lineal.publish import moving_tag
from lineal.publish.moving_tag import _Look, _Mover
from lineal.store.tags import Claim
from tests.simulation.moving import Shape, play
from tests.simulation.test_mutations import numbers
from tests.simulation.world import Mood

TRIES = 1000
"""Schedules, always the same ones."""


def broken_promise(shape: Shape) -> str:
    for seed in range(TRIES):
        story = play(numbers(seed), Mood(), shape)
        if story.wrong:
            return f"{seed}: {story.wrong[0]}"
    return ""


def without_memory(patch: pytest.MonkeyPatch) -> None:
    """What the tag's image says of itself decides: the first commit that had this image."""
    first = {"A": "0", "B": "b", "D": "d"}

    def holders(self: _Look) -> list[Claim]:
        found = {claim.digest: claim for claim in self.standing if claim.names(self.at)}.values()
        return [replace(claim, commit=first_commit(claim)) for claim in found]

    def first_commit(claim: Claim) -> str:
        from tests.simulation.history import oid
        from tests.simulation.moving import image

        return next((oid(first[content]) for content in first if claim.names(image(content).digest)), claim.commit)

    patch.setattr(_Look, "holders", property(holders))


def without_looking_again(patch: pytest.MonkeyPatch) -> None:
    """A run that has written its claim writes the tag."""
    real = _Mover._look
    patch.setattr(_Mover, "_look", lambda self, at: _Look(at, (self._own,), ()) if self._own else real(self, at))


def without_a_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Mover, "_has_claim", lambda self, seen: True)


def without_leaving_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(moving_tag, "GRACE", 0.0)


def forgetting_old_claims_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(moving_tag, "LIVE", 0)


def without_minding_its_burial(patch: pytest.MonkeyPatch) -> None:
    """The claims of the living are withdrawn, and their runs go on."""
    real = _Mover._has_claim
    patch.setattr(
        _Mover, "_has_claim",
        lambda self, seen: real(self, replace(seen, standing=(*seen.standing, self._own), withdrawn=())),
    )  # fmt: skip
    patch.setattr(moving_tag, "DEAD", 0.0)


def never_withdrawing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Mover, "_withdraw", lambda self, claims: None)


def without_giving_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Mover, "_live", lambda self, claims: [])


MUTATIONS: list[tuple[Callable[[pytest.MonkeyPatch], None], Shape]] = [
    (without_memory, "line"), (without_looking_again, "line"), (without_a_claim, "line"),
    (without_leaving_time, "line"), (forgetting_old_claims_at_once, "line"), (without_minding_its_burial, "line"),
    (never_withdrawing, "branches"), (without_giving_way, "line"),
]  # fmt: skip
"""Each is missed within 200 schedules. What runs do that were held up is in tests/unit/publish."""


@pytest.mark.parametrize(("mutation", "shape"), MUTATIONS)
def test_a_tag_moves_back_when_a_step_is_left_out(
    mutation: Callable[[pytest.MonkeyPatch], None], shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert broken_promise(shape)
