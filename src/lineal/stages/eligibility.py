"""Which published stages a run may use, of all that strangers may have published (DESIGN §5).

Who vouches for a stage, what of the commit no checksum holds, and history: each can refuse it. And whoever may push
adds as many stages as they like, with any timestamp: of those a run reads some only, and believes no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

from lineal.git.history import Ancestry
from lineal.oci import Store
from lineal.stages import visibility
from lineal.stages.candidate import Candidate
from lineal.stages.visibility import History, HistoryPosition, Verdict
from lineal.store.record import Record
from lineal.text import printable
from lineal.trust import Verdict as Judgement
from lineal.trust.judge import EVERYBODY, Judge
from lineal.value import dataclass

MOST = 64
"""Publications of one checksum that a run reads which does not believe everybody. Of more, it reads so many of the
oldest and of the newest: whoever may push can add any number."""


@dataclass
class Eligibility:
    """Of one run, for its commit. Several threads may ask at once."""

    store: Store
    line: HistoryPosition
    history: History
    judge: Judge = EVERYBODY
    warn: Callable[[str], None] = lambda _text: None
    beside: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By checksum, what this commit has of what no checksum holds (`Record.beside`)."""
    _flooded: set[str] = field(default_factory=set)
    """Checksums that a warning was given of."""
    _asking: threading.Lock = field(default_factory=threading.Lock)
    """Held by who asks history."""

    def under(self, judge: Judge) -> Eligibility:
        """The same for those whom another judge believes."""
        return replace(self, judge=judge)

    @property
    def strict(self) -> bool:
        """Whether there are stages that the run does not believe."""
        return self.judge.strict

    # --- whether a stage may be used ----------------------------------------------------------------------------

    def verdicts(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Whether each may be used. History is asked once, for those that nothing else refuses.

        Doubts about them are known by now: who reads many candidates asks `doubt` of each beside the others."""
        refusals = [self._refusal(candidate) for candidate in candidates]
        grounds = [
            [] if why else self._grounds(candidate) for candidate, why in zip(candidates, refusals, strict=True)
        ]
        seen = iter(self._by_history([record for records in grounds for record in records]))
        return [
            Verdict(Ancestry.NO, f"hidden: {why}") if why else _weakest([next(seen) for _ in records])
            for why, records in zip(refusals, grounds, strict=True)
        ]

    def doubt(self, candidate: Candidate) -> str:
        """Why it is not believed, empty when it is. May raise `Unreachable`."""
        verdict = self._judged(candidate)
        return "" if verdict.trusted else verdict.reason

    def footing(self, candidate: Candidate) -> tuple[Record, ...] | None:
        """Of a stage that git proves, the records of those that it is proved on; None for others."""
        return self._judged(candidate).footing

    def vouched(self, candidate: Candidate) -> Record:
        """The record of a believed candidate, as far as somebody vouches for it."""
        record = candidate.record
        return record if self.judge.vouches(candidate.index, record, self.store) else record.without_claims()

    def learn(self, candidate: Candidate, verdict: Judgement) -> None:
        """Believe of a candidate what the run has found out."""
        self.judge.learn(candidate.index, verdict)

    def _judged(self, candidate: Candidate) -> Judgement:
        return self.judge.judge(candidate.index, candidate.record, self.store)

    def _refusal(self, candidate: Candidate) -> str:
        """Why it is not used, whatever history says; empty when history decides."""
        return self.doubt(candidate) or next(filter(None, map(self._foreign, self._grounds(candidate))), "")

    def _grounds(self, candidate: Candidate) -> list[Record]:
        """The records that decide: its own, and those that it is proved on."""
        return [candidate.record, *(self.footing(candidate) or ())]

    def _foreign(self, record: Record) -> str:
        """Why a stage was made with something that this commit does not have, empty when it was not."""
        others = sorted(record.beside - self.beside.get(record.checksum, frozenset()))
        names = ", ".join(printable(one.partition("=")[0], 40) for one in others[:3])
        return f"built with other sources of secrets ({names})" if others else ""

    def _by_history(self, records: Sequence[Record]) -> list[Verdict]:
        if not records:
            return []
        with self._asking:
            return visibility.judge(records, self.line, self.history)

    # --- any number of stages, with any timestamp ---------------------------------------------------------------

    def affordable(self, checksum: str, tags: Sequence[str]) -> Sequence[str]:
        """The tags of one checksum that a run reads, of all in the order of their timestamps."""
        if not self.strict or len(tags) <= MOST:
            return tags
        if checksum not in self._flooded:
            self._flooded.add(checksum)
            self.warn(
                f"The store has {len(tags)} publications of the stage {checksum[:12]}, and {MOST} of them are looked "
                "at: somebody who may push there adds stages that nobody vouches for. Take that right away, delete "
                f"the tags that begin with {checksum}, and run the job again."
            )
        return [*tags[: MOST // 2], *tags[-MOST // 2 :]]

    def newest(self, tags: Sequence[str], read: Sequence[Candidate]) -> int:
        """The highest timestamp of one checksum that the next one has to be above, 0 without any: a stranger could
        name the end of time. `read` are those of its `tags` that were read."""
        if self.strict:
            return max((one.record.created for one in read if not self.doubt(one)), default=0)
        return max((int(tag.rpartition("-")[2]) for tag in tags), default=0)


def _weakest(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a stage and those that it is proved on: the first one that may not be used, else its own."""
    return next((verdict for verdict in verdicts if verdict.answer is not Ancestry.YES), verdicts[0])
