"""Signatures that Sigstore vouches for: made with a token of the CI, verified without asking anybody.

The package `sigstore` is an extra, and imported when one is made or verified for the first time."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from lineal.errors import BadConfiguration, Unreachable
from lineal.store.statement import STATEMENT
from lineal.trust.identity import Identity

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import ClientTrustConfig
    from sigstore.sign import Signer
    from sigstore.verify import Verifier

TRUST_CONFIG = "LINEAL_SIGSTORE_TRUST_CONFIG"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_CONFIG = 4 << 20
_FULCIO = "1.3.6.1.4.1.57264.1."
_ISSUER, _REPOSITORY, _COMMIT, _REF, _TRIGGER = "8", "12", "13", "14", "20"
"""Extensions of Fulcio's certificates, behind `_FULCIO`."""
_UTF8 = 0x0C
_SECONDS = 300.0
"""How long a certificate is used; it is valid for twice as long."""
_MOST = 16
"""Signatures of one statement that are looked at."""


@dataclass(frozen=True)
class Vouched:
    """A signature of a statement and what vouches for it: certificate, log entry, timestamps (a Sigstore bundle's
    `verificationMaterial`)."""

    signature: bytes
    material: Mapping[str, Any]

    def digest(self, statement: bytes) -> str:
        """A name, as hex, for the question whether somebody vouches for this statement so."""
        parts = [statement, self.signature, json.dumps(self.material, sort_keys=True).encode()]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        """As it stands among the signatures of an envelope. `name` is for people and tools."""
        return {"keyid": name, "sig": b64encode(self.signature).decode(), "material": dict(self.material)}

    def bundle(self, statement: bytes) -> bytes:
        return bundle_of(statement, b64encode(self.signature).decode(), self.material)


def bundle_of(statement: bytes, signature: str, material: Mapping[str, Any]) -> bytes:
    """A Sigstore bundle. `signature` is base64."""
    document = {
        "mediaType": BUNDLE,
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": b64encode(statement).decode(),
            "payloadType": STATEMENT,
            "signatures": [{"sig": signature}],
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def vouched_signatures(text: str) -> list[Vouched]:
    """Those of an envelope's signatures that somebody vouches for. Raises ValueError for what is no list of
    signatures."""
    try:
        found = [one for one in json.loads(text)[:_MOST] if "material" in one]
        return [Vouched(b64decode(one["sig"], validate=True), dict(one["material"])) for one in found]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no signatures: {error}") from None


class Sigstore:
    """An instance of Sigstore: the public one, or that of a ClientTrustConfig. Safe to use from several threads."""

    def __init__(
        self, config: str | None, warn: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`config` is the ClientTrustConfig in JSON, None for the public good instance."""
        self._config, self._warn, self._monotonic = config, warn, monotonic
        self._guard = Lock()
        self._signer: Signer | None = None
        self._signer_until = 0.0

    @property
    def name(self) -> str:
        """What tells it from other instances."""
        return hashlib.sha256(self._config.encode()).hexdigest() if self._config else "public"

    def identity(self, statement: bytes, vouched: Vouched) -> Identity:
        """Whose signature it is. Raises ValueError for one that this instance does not vouch for, or of a statement
        of others; `BadConfiguration` or `Unreachable` when it cannot be told."""
        with self._guard:
            verifier = self._verifier
        from sigstore.models import Bundle

        seen = _Seen()
        try:
            kind, payload = verifier.verify_dsse(Bundle.from_json(vouched.bundle(statement)), seen)
            if (kind, payload) != (STATEMENT, statement) or seen.certificate is None:
                raise ValueError("another statement")
            return _identity(seen.certificate)
        except Exception as error:  # noqa: BLE001 (its parsers raise errors of a dozen packages for hostile bytes)
            raise ValueError(f"{type(error).__name__}: {error}") from None

    def sign(self, statement: bytes, token: Callable[[], str]) -> Vouched:
        """Sign a statement in the name of the run whose token `token` gives. One certificate serves as long as it is
        valid. Raises `BadConfiguration` or `Unreachable`, which repeat nothing of the token."""
        from sigstore.dsse import Statement
        from sigstore.errors import Error
        from sigstore.oidc import ExpiredIdentity

        try:
            # The log answers when the statement is in it, which takes seconds: several threads wait at once.
            bundle = self._signer_of(token).sign_dsse(Statement(statement)).to_json()
        except (Error, ExpiredIdentity, OSError, ValueError) as error:
            raise self._refused(error) from None
        found = json.loads(bundle)
        (signature,) = found["dsseEnvelope"]["signatures"]
        return Vouched(b64decode(signature["sig"]), found["verificationMaterial"])

    def _signer_of(self, token: Callable[[], str]) -> Signer:
        from sigstore.oidc import IdentityToken
        from sigstore.sign import Signer, SigningContext

        with self._guard:
            # A build takes longer than a certificate is valid.
            if self._signer is None or self._monotonic() > self._signer_until:
                context = SigningContext.from_trust_config(self._trust)
                self._signer = Signer(IdentityToken(token()), context)
                self._signer_until = self._monotonic() + _SECONDS
            return self._signer

    @staticmethod
    def _refused(error: Exception) -> Unreachable:
        return Unreachable(
            f"Sigstore did not sign: {type(error).__name__}.",
            id="LN-4038",
            remedy=f"Look whether its services can be reached from here ({TRUST_CONFIG} names another instance), and "
            "run the job again.",
        )

    @cached_property
    def _verifier(self) -> Verifier:
        from sigstore.errors import Error
        from sigstore.verify import Verifier

        try:
            return Verifier(trusted_root=self._trust.trusted_root)
        except (Error, ValueError) as error:
            raise _bad_config(error) from None

    @cached_property
    def _trust(self) -> ClientTrustConfig:
        check_installed()
        from sigstore.errors import Error
        from sigstore.models import ClientTrustConfig

        if self._config:
            try:
                return ClientTrustConfig.from_json(self._config)
            except (Error, ValueError, TypeError) as error:
                raise _bad_config(error) from None
        try:
            return ClientTrustConfig.production()
        except (Error, OSError, ValueError):
            self._warn("Sigstore's keys could not be brought up to date: those that are here already count.")
        try:
            return ClientTrustConfig.production(offline=True)
        except (Error, OSError, ValueError) as error:
            raise self._refused(error) from None


def check_installed() -> None:
    """Raises `BadConfiguration` where the package is not installed."""
    from importlib.util import find_spec

    if find_spec("sigstore") is None:
        raise BadConfiguration(
            "Identities of pipelines need the package sigstore, which is not installed.",
            id="LN-1061",
            remedy="Install Lineal with its extra `sigstore`, or use its image.",
        )


class _Seen:
    """Takes the certificate that was verified (sigstore's VerificationPolicy): who is believed is decided later."""

    certificate: Certificate | None = None

    def verify(self, cert: Certificate) -> None:
        self.certificate = cert


def _identity(certificate: Certificate) -> Identity:
    """Raises ValueError or an error of `cryptography` for the certificate of no pipeline."""
    from cryptography.x509 import ObjectIdentifier, SubjectAlternativeName, UniformResourceIdentifier

    extensions = certificate.extensions

    def text(number: str) -> str:
        value: Any = extensions.get_extension_for_oid(ObjectIdentifier(_FULCIO + number)).value
        return _utf8(value.value)

    names = extensions.get_extension_for_class(SubjectAlternativeName).value
    (workflow,) = names.get_values_for_type(UniformResourceIdentifier)
    return Identity(text(_ISSUER), text(_REPOSITORY), text(_REF), text(_COMMIT), workflow, text(_TRIGGER))


def _utf8(der: bytes) -> str:
    """A UTF8String in DER of less than 64 KiB."""
    if len(der) < 2 or der[0] != _UTF8:
        raise ValueError("an extension that is no text")
    more = der[1] - 0x80 if der[1] > 0x80 else 0
    size = int.from_bytes(der[2 : 2 + more], "big") if more else der[1]
    body = der[2 + more :]
    if more > 2 or len(body) != size:
        raise ValueError("an extension that is no text")
    return body.decode()


def _bad_config(error: Exception) -> BadConfiguration:
    return BadConfiguration(
        f"{TRUST_CONFIG} does not hold the trust of an instance of Sigstore ({type(error).__name__}).",
        id="LN-1062",
        remedy="Give the path of its ClientTrustConfig in JSON.",
    )
