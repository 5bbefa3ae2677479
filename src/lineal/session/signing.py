"""How a run signs what it publishes, and whose signatures its commit accepts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.errors import BadConfiguration, Location
from lineal.session.policy import PolicyOfRun, accepted_keys
from lineal.trust.keys import PASSWORD, SIGNING_KEY
from lineal.trust.policy import KeySigner, Policy
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.ci.context import Context
    from lineal.session.identity import IdentityOfRun
    from lineal.store.record import Sign
    from lineal.trust.keys import PublicKey, SigningKey
    from lineal.trust.signed import SignedStages

    Signer = tuple[str, Sign]
    """The name of a signature, and what makes it."""


@dataclass(frozen=True)
class SigningOfRun:
    """One run's. Keys are read when something is signed or verified: a run that finds everything needs none."""

    policy: Policy | None
    environ: Mapping[str, str]
    context: Context
    root: Path
    read: Callable[[str], bytes | None]
    """The content of a file of the commit, None when it has no such file."""
    place: Callable[[str], Location | None]
    """Where a key of lineal.yaml is written."""
    identity: IdentityOfRun
    """What the CI vouches for."""

    @property
    def accepts(self) -> bool:
        """Whether the commit accepts signatures of a key."""
        return any(isinstance(one, KeySigner) for one in self._signers)

    @property
    def has_key(self) -> bool:
        """Whether the run signs what it publishes: a commit that is not the project's own signs nothing."""
        return bool(self.environ.get(SIGNING_KEY)) and self.context.trusted

    @property
    def verifier(self) -> SignedStages | None:
        """Believes what the accepted keys have signed. Raises `BadConfiguration` for a file that is no key."""
        if not self.accepts:
            return None
        from lineal.trust.signed import SignedStages

        merged = self.policy is not None and self.policy.merged
        return SignedStages(self._accepted, merged, self.context.pull_request)

    def check(self) -> None:
        """Before anything is built: make sure that the run's key and its identity are such as its commit accepts,
        where it accepts any. Raises `BadConfiguration`."""
        if not (self.has_key and self.accepts):
            self.identity.check()
        if self.has_key and self.accepts and self._key.public.der not in {one.der for one in self._accepted}:
            names = " or ".join(one.name for one in self._accepted)
            raise BadConfiguration(
                f"The key in {SIGNING_KEY} is not the private half of {names}: this commit would not believe what it "
                "signs.",
                id="LN-1047",
                place=self.place("trust.accept"),
                remedy="Commit its public half and name that in `trust.accept`, or give the job the key that fits.",
            )

    @property
    def signers(self) -> list[Signer]:
        """Those in whose name the run signs: its own identity, then its key. Raises `BadConfiguration` for a key that
        is none."""
        found: list[Signer] = []
        if self.identity.is_believed:
            found.append((self.identity.identity.workflow, lambda data: _encoded([self.identity.sign(data)])))
        if self.has_key:
            from lineal.trust.signed import signer

            found.append((self._key.public.id, signer(self._key)))
        return found

    @property
    def sign(self) -> Sign | None:
        """Signs a statement in the name of all `signers`, None without one. Raises as these."""
        signers = self.signers
        if not signers:
            return None
        return lambda data: _encoded([one for _, sign in signers for one in json.loads(sign(data))])

    @property
    def _signers(self) -> tuple[object, ...]:
        return self.policy.accept if self.policy is not None else ()

    @cached_property
    def _key(self) -> SigningKey:
        from lineal.trust.keys import read_signing_key

        return read_signing_key(self.environ[SIGNING_KEY], self.environ.get(PASSWORD, ""), self.root)

    @cached_property
    def _accepted(self) -> list[PublicKey]:
        return accepted_keys(PolicyOfRun(self.policy, self.read, self.place))


def signing_alone(
    environ: Mapping[str, str], root: Path, given: PolicyOfRun | None, hide: Callable[[str], None],
    warn: Callable[[str], None],
) -> SigningOfRun:  # fmt: skip
    """Of a run that is about no commit; the policy that it was given says whether its identity is believed."""
    from lineal.ci.context import Context
    from lineal.session.identity import IdentityOfRun

    found = given or PolicyOfRun(None, lambda _: None, lambda _: None)
    context = Context("local", "none", "")
    place = found.place("trust.accept")
    identity = IdentityOfRun(found.policy, environ, context, place, "", lambda _: False, hide, warn)
    return SigningOfRun(found.policy, environ, context, root, found.read, found.place, identity)


def _encoded(signatures: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(signatures, separators=(",", ":"))
