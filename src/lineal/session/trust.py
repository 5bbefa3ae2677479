"""Whom a run believes and how it vouches for what it publishes: by the key that it was given and the policy of its
commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.ci.context import Context
from lineal.errors import BadConfiguration, Location
from lineal.oci.types import Manifest
from lineal.session.identity import IdentityOfRun
from lineal.stages.lane import CLOSED, OPEN, Lane
from lineal.trust import Verifier
from lineal.trust.judge import EVERYBODY, Judge
from lineal.trust.keys import SIGNING_KEY
from lineal.trust.mark import TRUST_KEY, Marks, TrustKey, parse_keys
from lineal.trust.policy import Policy
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.trust.memory import Memory


@dataclass(frozen=True)
class TrustOfRun:
    """One run's. Without a policy and without a key everybody who may push to the store is believed."""

    policy: Policy | None
    keys: tuple[TrustKey, ...]
    """Those that the run uses: a commit that is not the project's own gets none."""
    context: Context
    repository: str
    """The store, as marks name it."""
    place: Location | None = None
    """Where `trust` is written."""
    verifiers: tuple[Verifier, ...] = ()
    """Those of the signers that the policy accepts."""
    signs: bool = False
    """Whether the run is such a signer."""
    dev: bool = False
    """Whether it builds a working tree, for this machine alone."""
    cache: Path = Path("/nonexistent")
    """The user's directory for what a run can do without."""
    identity: IdentityOfRun | None = None
    """What the CI vouches for."""

    @property
    def vouches(self) -> bool:
        """Whether others believe what this run publishes. Raises `Unreachable` where its CI does not answer."""
        marks = bool(self.keys) and (self.policy is None or self.policy.key_required)
        return self.signs or marks or self._is_vouched_for

    @property
    def _is_vouched_for(self) -> bool:
        """Whether the CI vouches for it. Who it is matters where everybody may push what is built; a build on any
        other ref is refused before it begins, when nobody would believe it."""
        if self.identity is None or self.dev:
            return False
        return self.identity.is_believed if self.context.open else self.identity.is_offered

    @property
    def open(self) -> bool:
        """Whether it goes on although nobody believes it: it believes everybody, as without a policy, and keeps to a
        lane of its own."""
        alone = self.policy is not None and (self.dev or self.context.open or not self.context.may_write)
        return alone and not self.vouches

    @cached_property
    def marks(self) -> Marks | None:
        """What vouches for all that this run publishes, None without a key."""
        return Marks(self.keys) if self.keys else None

    @cached_property
    def judge(self) -> Judge:
        """What a mark costs is not worth remembering."""
        if not self._believed:
            return EVERYBODY
        from lineal.trust.memory import Remembered

        found = [one if one is self.marks else Remembered(one, self.memory) for one in self._believed]
        return Judge(found, self.repository)

    @cached_property
    def memory(self) -> Memory:
        """What earlier runs with the same keys and policy have verified."""
        from lineal.trust.memory import Memory

        return Memory(self.cache, Judge(self._believed, self.repository).basis, __version__)

    @cached_property
    def _believed(self) -> list[Verifier]:
        """Those who vouch for what this run uses; without any, everybody does."""
        marks = [self.marks] if self.marks else []
        return [] if self.open else [*marks, *self.verifiers]

    @property
    def recomputes(self) -> bool:
        """Whether the run believes what git proves."""
        return self.policy is not None and self.policy.recompute and self.judge.strict

    @property
    def lane(self) -> Lane:
        return OPEN if self.open else CLOSED

    @property
    def marked(self) -> Callable[[Manifest], Manifest]:
        """Vouches for the index of a stage that this run publishes."""
        marks = self.marks
        if marks is None:
            return lambda index: index
        return lambda index: marks.marked(index, self.repository)

    @property
    def shown(self) -> str:
        """For the first lines of a run; empty where nothing is said of trust."""
        if self.open:
            return "everybody who may push; others do not believe this run, which has no key"
        marked = f"what is marked with key {' or '.join(key.id for key in self.keys)}  {TRUST_KEY}"
        return ", ".join([*([marked] if self.keys else []), *map(str, self.verifiers)])

    def require(self, purpose: str) -> None:
        """For what leaves the store, such as `deploy`. Raises `BadConfiguration` when the run cannot meet the policy
        of its commit."""
        if self.open or self._lacks_key:
            raise self._refusal(purpose)

    def require_build(self) -> None:
        """For a build. Where nobody vouches for a run, only those of what anybody may push go on, and those that
        publish nothing. Raises `BadConfiguration`."""
        missing = not self.vouches or (self._lacks_key and not self.context.open)
        if self.policy is not None and missing and not self.open:
            raise self._refusal("build")

    @property
    def _lacks_key(self) -> bool:
        return self.policy is not None and self.policy.key_required and not self.keys

    def _refusal(self, purpose: str) -> BadConfiguration:
        if self.identity is not None and self.identity.accepted and not self._lacks_key:
            return BadConfiguration(
                "`trust` believes only pipelines that their CI vouches for, and it does not vouch for this run: it "
                f"does not {purpose}.",
                id="LN-1060",
                place=self.place,
                remedy=f"Add `{self.identity.lines}` to the job. Branches that are not protected build without it, "
                "and --dev builds for yourself.",
            )
        name = TRUST_KEY if self.policy is None or self.policy.key_required else SIGNING_KEY
        return BadConfiguration(
            f"`trust` believes only what protected pipelines vouch for, and this run has no {name}: it does not "
            f"{purpose}.",
            id="LN-1041",
            place=self.place,
            remedy=f"Give {name} to the job: on GitLab a protected variable, on GitHub a secret of its environment. "
            "Branches that are not protected build without it, and --dev builds for yourself.",
        )


def keys_of(environ: Mapping[str, str], context: Context, warn: Callable[[str], None]) -> tuple[TrustKey, ...]:
    """The keys that the run may use. Raises `BadConfiguration` for what is no key."""
    keys = parse_keys(environ.get(TRUST_KEY, ""))
    if keys and not context.trusted:
        warn(f"{TRUST_KEY} is left out: this commit is not the project's own, so nothing of it is marked.")
        return ()
    return keys
