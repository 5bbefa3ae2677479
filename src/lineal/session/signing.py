"""How a run signs what it publishes, and whose signatures its commit accepts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.errors import BadConfiguration, Location
from lineal.session.policy import PolicyOfRun
from lineal.store.statement import STATEMENT
from lineal.trust.keys import PASSWORD, SIGNING_KEY
from lineal.trust.policy import KeySigner, Policy
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.ci.context import Context
    from lineal.session.identity import IdentityOfRun
    from lineal.store.record import Sign
    from lineal.trust.keys import PublicKey, SigningKey
    from lineal.trust.signed import SignedStages


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
    def sign(self) -> Sign | None:
        """Signs a statement, in the name of the run and with its key; None for a run that has neither. Raises
        `BadConfiguration` for a key that is none."""
        with_key = self.sign_as(STATEMENT)
        if not self.identity.is_believed:
            return with_key

        def sign(statement: bytes) -> str:
            others = json.loads(with_key(statement)) if with_key else []
            return json.dumps([self.identity.sign(statement), *others], separators=(",", ":"))

        return sign

    def sign_as(self, kind: str) -> Sign | None:
        """Signs documents of another kind with the run's key; None without one."""
        if not self.has_key:
            return None
        from lineal.trust.signed import signer

        return signer(self._key, kind)

    @property
    def signer(self) -> str | None:
        """By which name the first of its signatures is known, None without one. Raises `BadConfiguration` for a key
        that is none."""
        if self.identity.is_believed:
            return self.identity.identity.workflow
        return self._key.public.id if self.has_key else None

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


def sign_alone(environ: Mapping[str, str], root: Path, kind: str) -> Sign | None:
    """What signs in a run that is about no commit. Raises `BadConfiguration`."""
    if not environ.get(SIGNING_KEY):
        return None
    from lineal.trust.keys import read_signing_key
    from lineal.trust.signed import signer

    return signer(read_signing_key(environ[SIGNING_KEY], environ.get(PASSWORD, ""), root), kind)


def accepted_keys(found: PolicyOfRun) -> list[PublicKey]:
    """The public keys of a policy, in its order. Raises `BadConfiguration`."""
    from lineal.trust.keys import read_public_key

    keys = []
    for number, signer in enumerate(found.policy.accept if found.policy is not None else ()):
        if isinstance(signer, KeySigner):
            place = found.place(f"trust.accept[{number}].key")
            data = found.read(signer.path)
            if data is None:
                raise BadConfiguration(
                    f"There is no file {signer.path}, whose key is accepted.",
                    id="LN-1048",
                    place=place,
                    remedy="Add the public key, in a commit where the policy is a commit's, or correct the path.",
                )
            keys.append(read_public_key(data, signer.path, place))
    return keys
