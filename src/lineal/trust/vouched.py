"""Stages that pipelines have signed whom their CI vouches for: the statement in a stage's record, its certificate
and its entry in a log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lineal import __version__
from lineal.store.statement import StageStatement
from lineal.text import printable
from lineal.trust import Evidence, Verdict
from lineal.trust.identity import Identity, Run, why_not
from lineal.trust.memory import Memory
from lineal.trust.policy import IdentitySigner
from lineal.trust.signed import judge_statement
from lineal.trust.sigstore_bundle import Sigstore, Vouched, vouched_signatures

UNVOUCHED = "no pipeline has signed it"


@dataclass(frozen=True)
class VouchedStages:
    """A verifier (`lineal.trust.Verifier`): believes stages that one of the signers of the policy has signed."""

    signers: Sequence[IdentitySigner]
    sigstore: Sigstore
    cache: Path
    """The user's directory for what a run can do without."""
    run: Run

    @property
    def basis(self) -> str:
        # What is in the history is so for one commit.
        of = self.run.commit if self.run.merged or self.run.pull_request is not None else ""
        return f"pipelines {self.sigstore.name} {sorted(map(repr, self.signers))} {self.run.pull_request} {of}"

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
        """Whose signature it is, whatever the policy says of that. Raises as `Sigstore.identity`."""
        digest, known = vouched.digest(statement), self._known
        found = known.recall(digest)
        if found is not None:
            with suppress(ValueError, LookupError, TypeError, RecursionError):
                return Identity.read(found.reason)
        identity = self.sigstore.identity(statement, vouched)
        known.keep(digest, Verdict(True, identity.encode()))
        return identity

    @property
    def _known(self) -> Memory:
        """The identities that were verified before: a run that finds them imports nothing for it."""
        return Memory(self.cache, f"identities {self.sigstore.name}", __version__)
