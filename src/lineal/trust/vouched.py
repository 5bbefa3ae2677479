"""Stages that pipelines have signed whom their CI vouches for: the statement in a stage's record, its certificate
and its entry in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lineal.store.statement import StageStatement
from lineal.text import printable
from lineal.trust import Evidence, Verdict
from lineal.trust.identity import Identity, Run, why_not
from lineal.trust.policy import IdentitySigner
from lineal.trust.remembered import Remembered
from lineal.trust.signed import judge_statement
from lineal.trust.sigstore_bundle import Sigstore, Vouched, vouched_signatures

UNVOUCHED = "no pipeline has signed it"


@dataclass(frozen=True)
class VouchedStages:
    """A verifier (`lineal.trust.Verifier`): believes stages that one of the signers of the policy has signed."""

    signers: Sequence[IdentitySigner]
    sigstore: Sigstore
    remembered: Remembered
    run: Run

    def __str__(self) -> str:
        return (
            f"what pipelines of {' or '.join(dict.fromkeys(printable(one.project) for one in self.signers))} signed"
        )

    def judge(self, evidence: Evidence) -> Verdict:
        return judge_statement(evidence, self._vouch)

    def _vouch(self, statement: bytes, signatures: str, said: StageStatement) -> Verdict:
        """May raise ValueError for what is no list of signatures."""
        why = UNVOUCHED
        for vouched in vouched_signatures(signatures):
            try:
                identity = self._identity(statement, vouched)
            except ValueError:
                why = "its certificate or its entry in the log is not true"
                continue
            request = said.making.builder.pull_request
            for signer in self.signers:
                why = why_not(signer, identity, said.commits, request, self.run)
                if not why:
                    return Verdict(True, f"signed by {printable(identity.workflow.partition('://')[2])}")
        return Verdict(False, why)

    def _identity(self, statement: bytes, vouched: Vouched) -> Identity:
        digest = vouched.digest(statement, self.sigstore.name)
        found = self.remembered.get(digest)
        if found is None:
            found = self.sigstore.identity(statement, vouched)
            self.remembered.put(digest, found)
        return found
