"""How long stages took to make. A published stage tells it of itself and of all that it is made of, so that a run
which finds it knows what it saves, and need not look at the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lineal.dockerfile.stage import Stage, closure
from lineal.stages.candidate import Candidate

_MOST = 500
"""Stages of which one tells; what is made of more tells of none."""


def durations_of(stage: Stage, own: int, candidate: Callable[[Stage], Candidate | None]) -> tuple[int, ...]:
    """What a stage that took `own` milliseconds tells (`Record.durations`), given the candidates of those that it is
    made of."""
    checksums = _order(stage)
    if len(checksums) > _MOST:
        return ()
    known = known_durations(stage.dependencies(), candidate) | {stage.checksum: own}
    return tuple(known.get(checksum, 0) for checksum in checksums)


def known_durations(stages: Iterable[Stage], candidate: Callable[[Stage], Candidate | None]) -> dict[str, int]:
    """Milliseconds by checksum, of published stages and of all that they are made of; without those of which nobody
    tells. `stages` stand behind what they are made of: each knows itself best."""
    known: dict[str, int] = {}
    for stage in reversed(list(stages)):
        found = candidate(stage)
        told = found.record.durations if found else ()
        checksums = _order(stage) if told else []
        if len(checksums) == len(told):
            known |= {checksum: took for checksum, took in zip(checksums, told, strict=True) if took}
    return known


def _order(stage: Stage) -> list[str]:
    """Of a stage and all that it is made of: a checksum holds which these are, and nothing of their order."""
    return sorted(one.checksum for one in closure([stage]))
