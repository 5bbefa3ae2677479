"""The judge of one run: asks the verifiers, and remembers what they said of each digest."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from lineal.oci import Store
from lineal.oci.types import Manifest
from lineal.store.record import Record
from lineal.trust import Evidence, Verdict, Verifier

UNVOUCHED = "nobody vouches for it"
_EVERYBODY = Verdict(True, "")


class Judge:
    """Believes what one of the verifiers vouches for; without a verifier everybody who may push to the store."""

    def __init__(self, verifiers: Sequence[Verifier] = (), repository: str = "") -> None:
        self._verifiers = tuple(verifiers)
        self._repository = repository
        self._verdicts: dict[str, Verdict] = {}
        self._guard = Lock()

    @property
    def strict(self) -> bool:
        """Whether there is anything that it does not believe."""
        return bool(self._verifiers)

    @property
    def basis(self) -> str:
        """What its verdicts rest on beside what it is asked about."""
        return "\n".join([self._repository, *(verifier.basis for verifier in self._verifiers)])

    def learn(self, index: Manifest, verdict: Verdict) -> None:
        """Believe of a stage what this run has found out in another way."""
        with self._guard:
            self._verdicts[index.digest] = verdict

    def judge(self, index: Manifest, record: Record, store: Store) -> Verdict:
        """May raise `Unreachable` where a verifier has to ask the store."""
        if not self._verifiers:
            return _EVERYBODY
        with self._guard:
            known = self._verdicts.get(index.digest)
        if known is None:
            known = self._asked(Evidence(index, record, self._repository, store))
            with self._guard:
                self._verdicts[index.digest] = known
        return known

    def vouches(self, index: Manifest, record: Record, store: Store) -> bool:
        """Whether what a stage claims of itself is believed, not its content alone."""
        verdict = self.judge(index, record, store)
        return verdict.trusted and verdict.footing is None

    def _asked(self, evidence: Evidence) -> Verdict:
        """The first verdict that vouches, else the last one: the verifiers stand in the order of their cost."""
        verdict = Verdict(False, UNVOUCHED)
        for verifier in self._verifiers:
            verdict = verifier.judge(evidence)
            if verdict.trusted:
                break
        return verdict


EVERYBODY = Judge()
"""The judge of a project that says nothing of trust, in a run without a key."""
