"""Believing stages that nobody vouches for, because git gives the very same: each is made again on what is believed,
at most once a run, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from lineal.dockerfile.stage import Stage
from lineal.errors import LinealError, Unreachable
from lineal.stages.candidate import Candidate
from lineal.stages.lane import OPEN
from lineal.stages.lookup import Lookup, Resolution
from lineal.stages.plan import BuildPlan, candidate_of
from lineal.trust import Evidence, Verdict
from lineal.trust.judge import Judge
from lineal.trust.memory import Memory

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment
    from lineal.stages.publish import Built
    from lineal.store.record import Record

REASON = "proved from git"
_DIFFERENT = "git gives something else in its place"
_NOT_FETCHED = "what it is made of cannot be fetched"


@dataclass
class Prover:
    """Of one run. `lookup` is the run's own, which believes nobody but those who vouch."""

    lookup: Lookup
    memory: Memory
    repository: str
    environment: Callable[[], BuildEnvironment]
    """What stages are made again with; nothing is written to its store but what the run may keep for itself."""
    fetches: bool = False
    """Whether what has to be fetched, as a base, is made again, too. A run that vouches for what it publishes does
    not: what it has fetched once, no run after it fetches again."""

    def recall(self, checksums: Sequence[str]) -> dict[str, Resolution]:
        """Those that an earlier run has proved, where what they stand on may be used."""
        if not checksums or not self.memory:
            return {}
        return self._find(checksums, _Recalled(self.memory))

    def proved(self, plan: BuildPlan) -> BuildPlan:
        """The plan with those missing stages that are published and that git proves. Raises `Unreachable`."""
        found: dict[str, Resolution] = {}
        for stage in plan.needed:
            known = {**plan.resolutions, **found}
            below = {one.checksum: candidate_of(one, known) for one in stage.dependencies()}
            # What stands on a stage that is missing is made with it, and costs no more then.
            if self._is_tried(stage) and None not in below.values():
                candidates = {checksum: one for checksum, one in below.items() if one is not None}
                found |= self._find([stage.checksum], _Proof(stage, candidates, self))
        return plan.with_found(found) if found else plan

    def _is_tried(self, stage: Stage) -> bool:
        from lineal.build.proof import is_fetched, is_provable

        return is_provable(stage) and (self.fetches or not is_fetched(stage))

    def _find(self, checksums: Sequence[str], verifier: _Recalled | _Proof) -> dict[str, Resolution]:
        """The selected candidates among those that the verifier believes, in either lane."""
        own = self.lookup.beside_it(Judge([verifier], self.repository), OPEN)
        found = {}
        for checksum, resolution in own.find(checksums).items():
            candidate = resolution.candidate
            if candidate is not None:
                verdict = Verdict(True, REASON, own.eligibility.footing(candidate))
                self.lookup.eligibility.learn(candidate, verdict)
                self.memory.keep(candidate.digest, verdict)
                found[checksum] = replace(resolution, reason=f"{resolution.reason}, {REASON}", young=False)
        return found


@dataclass(frozen=True)
class _Recalled:
    """A verifier that makes nothing again."""

    memory: Memory
    basis: str = ""

    def judge(self, evidence: Evidence) -> Verdict:
        known = self.memory.recall(evidence.index.digest)
        return known if known is not None and known.footing is not None else Verdict(False, "not proved yet")


@dataclass
class _Proof:
    """A verifier of one stage: what it becomes on the selected stages below it is what is believed."""

    stage: Stage
    below: Mapping[str, Candidate]
    prover: Prover
    basis: str = ""
    _guard: Lock = field(default_factory=Lock)

    def judge(self, evidence: Evidence) -> Verdict:
        from lineal.build.proof import is_fetched, is_publication_of

        known = _Recalled(self.prover.memory).judge(evidence)
        if known.trusted:
            return known
        try:
            with self._guard:
                built = self._made
            same = is_publication_of(built, evidence)
        except Unreachable:
            if not is_fetched(self.stage):
                raise
            # Who has it does not answer, which a run that needs no proof would not have noticed.
            return Verdict(False, _NOT_FETCHED)
        except (LinealError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Verdict(False, _DIFFERENT)
        return Verdict(same, REASON if same else _DIFFERENT, self._footing if same else None)

    @cached_property
    def _made(self) -> Built:
        from lineal.build.proof import made_again

        parent = self.below[self.stage.parent.checksum].index if self.stage.parent else None
        sources = {name: self.below[one.checksum].index for name, one in self.stage.sources.items()}
        return made_again(self.stage, parent, sources, self.prover.environment())

    @property
    def _footing(self) -> tuple[Record, ...]:
        """Of the stages below, those that somebody vouches for; of the others what they stand on."""
        found: dict[Record, None] = {}
        for one in self.below.values():
            footing = self.prover.lookup.eligibility.footing(one)
            found |= dict.fromkeys((one.record,) if footing is None else footing)
        return tuple(found)
