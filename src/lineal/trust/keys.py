"""Keys that sign and verify statements: ECDSA on P-256, and Ed25519, from PEM; also as cosign encrypts them.

`cryptography` (and PyNaCl for cosign's encryption) are an extra, and imported when a key is read."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.errors import BadConfiguration, Location
from lineal.value import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNING_KEY = "LINEAL_SIGNING_KEY"
PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 (the name of a variable)
TOKENS = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SIGSTORE_ID_TOKEN")
"""Variables of a job with which its CI vouches for whoever has their values: secrets."""
MAX_KEY = 64 << 10
_COSIGN = ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----")
_MOST_MEMORY = 256 << 20
"""Bytes that scrypt may use: cosign's keys need 64 MiB."""
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_ED25519 = bytes.fromhex("302a300506032b6570032100")
_KEYS = {_P256: len(_P256) + 65, _ED25519: len(_ED25519) + 32}
"""How a SubjectPublicKeyInfo begins, before the key itself, and its length."""
_KINDS = "an ECDSA key on P-256 or an Ed25519 key"


@dataclass(frozen=True)
class PublicKey:
    """`name` is for people: the file that it is in. `der` is its SubjectPublicKeyInfo."""

    name: str
    der: bytes

    @property
    def id(self) -> str:
        """SHA-256 of the key in DER, as hex."""
        return hashlib.sha256(self.der).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self._verify(signature, message)
        except (InvalidSignature, ValueError):
            # ValueError: a point that is not on the curve is nobody's key.
            return False
        return True

    def _verify(self, signature: bytes, message: bytes) -> None:
        # What reads any kind of PEM would take longer to import than all the rest: a cached run verifies, too.
        if self.der.startswith(_ED25519):
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

            Ed25519PublicKey.from_public_bytes(self.der[len(_ED25519) :]).verify(signature, message)
            return
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        point = self.der[len(_P256) :]
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        key.verify(signature, message, ec.ECDSA(SHA256()))


@dataclass(frozen=True)
class SigningKey:
    key: EllipticCurvePrivateKey | Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey(SIGNING_KEY, der)

    def sign(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.hashes import SHA256

        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(message)
        # The same each time: what is published again is the same to the byte.
        return self.key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))


def read_public_key(data: bytes, name: str, place: Location | None = None) -> PublicKey:
    """The public key in PEM of a file called `name`. Raises `BadConfiguration`."""
    check_installed()
    try:
        begin, *body, end = data[:MAX_KEY].decode("ascii").split()
        text = "".join(body).removeprefix("PUBLICKEY-----").removesuffix("-----ENDPUBLIC")
        der = b64decode(text, validate=True) if (begin, end) == ("-----BEGIN", "KEY-----") else b""
    except ValueError:
        der = b""
    if not any(der.startswith(prefix) and len(der) == size for prefix, size in _KEYS.items()):
        private = " It is a private key: whoever sees the commit can sign with it." if b"PRIVATE KEY" in data else ""
        raise BadConfiguration(
            f"{name} is not the public half of {_KINDS}, in PEM.{private}",
            id="LN-1044",
            place=place,
            remedy="Make a pair with `cosign generate-key-pair`, and commit cosign.pub.",
        )
    return PublicKey(name, der)


def is_pem(text: str) -> bool:
    """Whether it is the key itself, and not the path of its file."""
    return text.lstrip().startswith("-----BEGIN")


def read_signing_key(text: str, password: str, root: Path) -> SigningKey:
    """The private key that `SIGNING_KEY` holds: PEM, or the path of a file with it, which is not below `root`.

    Raises `BadConfiguration`, which repeats nothing of it."""
    check_installed()
    pem = text if is_pem(text) else _file(text, root)
    key = _from_cosign(pem, password) if pem.lstrip().startswith(_COSIGN) else _private(pem.encode(), password)
    if not _is_supported(key):
        raise _refusal(f"it is not {_KINDS}", "Make one with `cosign generate-key-pair`.")
    return SigningKey(key)


def check_installed() -> None:
    """Raises `BadConfiguration` where the packages that know signatures are not installed."""
    from importlib.util import find_spec

    if find_spec("cryptography") is None:
        raise BadConfiguration(
            "Signatures need the package cryptography, which is not installed.",
            id="LN-1045",
            remedy="Install Lineal with its extra `signing`, or use its image.",
        )


def _is_supported(key: object) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.curve.name == "secp256r1"
    return isinstance(key, ed25519.Ed25519PrivateKey)


def _file(text: str, root: Path) -> str:
    path = root / text.strip()
    try:
        real = path.resolve(strict=True)
        if real.is_relative_to(root.resolve()):
            raise _refusal(
                "its file is in the workspace, where a Dockerfile could copy it",
                "Keep it elsewhere, or put the key itself into the variable.",
            )
        with real.open("rb") as file:
            return file.read(MAX_KEY).decode("ascii", "replace")
    except (OSError, ValueError):
        raise _refusal("it is neither a key in PEM nor the path of a file that can be read", None) from None


def _private(pem: bytes, password: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    encrypted = b"ENCRYPTED" in pem
    try:
        return load_pem_private_key(pem, password.encode() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = (
            f"it is encrypted, and {PASSWORD} is not its password" if encrypted else "it is not a private key in PEM"
        )
        raise _refusal(why, None) from None


def _from_cosign(pem: str, password: str) -> Any:
    """A key as `cosign generate-key-pair` writes it: JSON in PEM with scrypt and NaCl's secretbox."""
    try:
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError:
        raise BadConfiguration(
            "Keys that cosign has encrypted need the package PyNaCl, which is not installed.",
            id="LN-1045",
            remedy="Install Lineal with its extra `signing`, or use its image.",
        ) from None
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        body = "".join(line for line in pem.strip().splitlines() if not line.startswith("-----"))
        document = json.loads(b64decode(body))
        kdf, cipher = document["kdf"], document["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
            raise ValueError("another way to encrypt")
        n, r, p = (int(kdf["params"][name]) for name in ("N", "r", "p"))
        if p > 16:
            raise ValueError("too much work")
        secret = hashlib.scrypt(
            password.encode(), salt=b64decode(kdf["salt"]), n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32
        )
        der = SecretBox(secret).decrypt(b64decode(document["ciphertext"]), b64decode(cipher["nonce"]))
        return load_der_private_key(der, None)
    except CryptoError:
        raise _refusal(f"{PASSWORD} is not its password", None) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError):
        raise _refusal("it is not a key as cosign writes it", None) from None


def _refusal(why: str, remedy: str | None) -> BadConfiguration:
    return BadConfiguration(
        f"The key in {SIGNING_KEY} cannot be used: {why}.",
        id="LN-1046",
        remedy=remedy
        or f"Give the key in PEM or the path of its file, and in {PASSWORD} the password if it has one.",
    )
