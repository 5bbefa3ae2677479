"""The identity of a run: whether its CI vouches for it, whether its commit believes that, and what it signs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.ci.provider import provider_of
from lineal.errors import BadConfiguration, Location
from lineal.git.cache import cache_directory
from lineal.trust.policy import IdentitySigner, Policy
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.ci.context import Context
    from lineal.trust.identity import Identity
    from lineal.trust.sigstore_bundle import Sigstore
    from lineal.trust.vouched import VouchedStages


@dataclass(frozen=True)
class IdentityOfRun:
    """One run's. Nobody is asked before something is signed, or, for a branch that everybody may push to, before it
    is known whether others believe what it signs."""

    policy: Policy | None
    environ: Mapping[str, str]
    context: Context
    place: Location | None
    """Where `trust.accept` is written."""
    commit: str
    """The one that is built."""
    in_history: Callable[[str], bool]
    """Whether a commit is the one that is built, or an ancestor of it."""
    hide: Callable[[str], None]
    """Takes a secret that is never to be seen."""
    warn: Callable[[str], None] = field(default=lambda _: None)

    @cached_property
    def accepted(self) -> tuple[IdentitySigner, ...]:
        found = self.policy.accept if self.policy is not None else ()
        return tuple(one for one in found if isinstance(one, IdentitySigner))

    @property
    def is_offered(self) -> bool:
        """Whether the CI would vouch for the run. For a commit that is not the project's own it is not asked."""
        return bool(self.accepted) and self.context.trusted and self._ask is not None

    @cached_property
    def is_believed(self) -> bool:
        """Whether the commit accepts what the run would sign. Raises `Unreachable` when the CI does not answer."""
        from lineal.trust.identity import may_sign

        if not self.is_offered:
            return False
        request, merged = self.context.pull_request, self.policy is not None and self.policy.merged
        return any(may_sign(one, self.identity, request, merged) for one in self.accepted)

    @cached_property
    def identity(self) -> Identity:
        """As the token says it. Raises `Unreachable` or `BadConfiguration`."""
        from lineal.trust.identity import of_token

        try:
            return of_token(self.token())
        except ValueError:
            raise BadConfiguration(
                "The identity token of this job is none that GitHub or GitLab gives.",
                id="LN-1058",
                remedy=f"Write `{self.lines}` as it is into the job.",
            ) from None

    def token(self) -> str:
        """A secret. Raises `Unreachable`."""
        assert self._ask is not None
        found = self._ask()
        self.hide(found)
        return found

    @property
    def _ask(self) -> Callable[[], str] | None:
        return provider_of(self.environ).identity_token

    def check(self) -> None:
        """Before anything is built: make sure that somebody believes what the run would sign, unless it is one that
        goes on for itself. Raises `BadConfiguration`."""
        if self.is_offered and not self.context.open and not self.is_believed:
            found = self.identity
            raise BadConfiguration(
                f"This job is {found.workflow.partition('://')[2]} for {found.ref}, which `trust.accept` does not "
                "name: this commit would not believe what it signs.",
                id="LN-1059",
                place=self.place,
                remedy="Correct `refs` or `workflow`, or take the identity token from the job.",
            )

    @property
    def lines(self) -> str:
        """What is missing in the job of a run for which nobody vouches."""
        kinds = {one.forge for one in self.accepted}
        here = provider_of(self.environ).identity_lines
        return here or ("permissions: {id-token: write}" if "github" in kinds else
                        "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}")  # fmt: skip

    def sign(self, statement: bytes) -> dict[str, Any]:
        """A signature as it stands in an envelope, with what vouches for it. Raises `LinealError`."""
        return self.sigstore.sign(statement, self.token).entry(self.identity.workflow)

    @cached_property
    def sigstore(self) -> Sigstore:
        return sigstore_of(self.environ, self.warn)

    @property
    def verifier(self) -> VouchedStages | None:
        """Believes what the accepted pipelines have signed."""
        if not self.accepted or self.policy is None:
            return None
        from lineal.trust.identity import Run
        from lineal.trust.vouched import VouchedStages

        run = Run(self.policy.merged, self.context.pull_request, self.commit, self.in_history)
        return VouchedStages(self.accepted, self.sigstore, cache_directory(self.environ), run)


def sigstore_of(environ: Mapping[str, str], warn: Callable[[str], None]) -> Sigstore:
    """The instance that a run verifies with and signs at. Raises `BadConfiguration`."""
    from lineal.trust.sigstore_bundle import MAX_CONFIG, TRUST_CONFIG, Sigstore

    name = environ.get(TRUST_CONFIG)
    if not name:
        return Sigstore(None, warn)
    try:
        with Path(name).open("rb") as file:
            return Sigstore(file.read(MAX_CONFIG).decode(), warn)
    except (OSError, ValueError):
        raise BadConfiguration(
            f"{TRUST_CONFIG} names no file that can be read.",
            id="LN-1062",
            remedy="Give the path of a ClientTrustConfig in JSON.",
        ) from None
