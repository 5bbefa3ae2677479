"""An instance of Sigstore that a test makes by itself: a CA in Fulcio's place, the keys of a certificate log and of
Rekor. It issues what the real ones issue, and what they never would."""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lineal.trust.envelope import signed_bytes
from lineal.trust.identity import Identity
from lineal.trust.sigstore_bundle import Vouched

NOW = datetime.now(UTC).replace(microsecond=0)
PIPELINE = Identity(
    issuer="https://token.actions.githubusercontent.com",
    repository="https://github.com/acme/shop",
    ref="refs/heads/main",
    commit="1" * 40,
    workflow="https://github.com/acme/shop/.github/workflows/ci.yml@refs/heads/main",
    trigger="push",
)
_SCT = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_FULCIO = "1.3.6.1.4.1.57264.1."
_LOG = "rekor.test"


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(SHA256()))


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def der(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + body


@dataclass
class Instance:
    ca: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    certificates: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    """The key of the certificate log."""
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=_key)

    def __post_init__(self) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fulcio.test")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.root = (
            x509.CertificateBuilder()
            .subject_name(self.name).issuer_name(self.name).public_key(self.ca.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=9)).not_valid_after(NOW + timedelta(days=9))
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()), critical=False)
            .sign(self.ca, SHA256())
        )  # fmt: skip

    def config(self) -> str:
        """Its ClientTrustConfig. Its services are nowhere."""
        valid = {"start": (NOW - timedelta(days=9)).isoformat().replace("+00:00", "Z")}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": b64(_spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
            return {"baseUrl": "https://nowhere.test", "hashAlgorithm": "SHA2_256", "publicKey": public,
                    "logId": {"keyId": b64(_id(key))}}  # fmt: skip

        service = {"url": "https://nowhere.test", "validFor": valid, "operator": "test"}
        chain = {"certificates": [{"rawBytes": b64(self.root.public_bytes(Encoding.DER))}]}
        return json.dumps({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.rekor)], "ctlogs": [log(self.certificates)],
                "certificateAuthorities": [{"subject": {"organization": "test", "commonName": "fulcio.test"},
                                            "uri": "https://nowhere.test", "certChain": chain, "validFor": valid}],
                "timestampAuthorities": [],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [{**service, "majorApiVersion": 1}], "oidcUrls": [],
                "rekorTlogUrls": [{**service, "majorApiVersion": 1}], "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [], "tsaConfig": {"selector": "ANY"},
            },
        })  # fmt: skip

    def certificate(
        self, key: ec.EllipticCurvePrivateKey, identity: Identity = PIPELINE, *, minutes: int = 10,
        without: tuple[str, ...] = (), logged_by: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:  # fmt: skip
        """A pipeline's certificate; valid for some minutes from now on. `without` are extensions that are left out,
        `sct` among them."""
        found = {"8": identity.issuer, "12": identity.repository, "13": identity.commit, "14": identity.ref,
                 "20": identity.trigger}  # fmt: skip
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        begin = NOW - timedelta(minutes=1) if minutes > 0 else NOW - timedelta(days=2)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([])).issuer_name(self.name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin).not_valid_after(begin + timedelta(minutes=abs(minutes)))
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.workflow)]), critical=True
            )
        )  # fmt: skip
        for number, text in found.items():
            if number not in without:
                value = der(0x0C, text.encode())
                made = made.add_extension(
                    x509.UnrecognizedExtension(x509.ObjectIdentifier(_FULCIO + number), value), critical=False
                )
        if "sct" not in without:
            before = made.sign(self.ca, SHA256())
            made = made.add_extension(
                x509.UnrecognizedExtension(_SCT, self._sct(before, logged_by or self.certificates)), critical=False
            )
        return made.sign(self.ca, SHA256())

    def _sct(self, before: x509.Certificate, log: ec.EllipticCurvePrivateKey) -> bytes:
        """The log's signed timestamp of a certificate that has none yet (RFC 6962)."""
        body, issuer = before.tbs_certificate_bytes, hashlib.sha256(_spki(self.ca)).digest()
        time = struct.pack("!Q", int(NOW.timestamp() * 1000))
        signed = b"\0\0" + time + b"\0\1" + issuer + len(body).to_bytes(3, "big") + body + b"\0\0"
        signature = _sign(log, signed)
        sct = b"\0" + _id(log) + time + b"\0\0" + b"\4\3" + struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!H", len(sct)) + sct
        return der(0x04, struct.pack("!H", len(listed)) + listed)

    def vouch(self, statement: bytes, certificate: x509.Certificate | None = None, *,
              key: ec.EllipticCurvePrivateKey | None = None, logged: bytes | None = None,
              seconds: int = 0) -> Vouched:  # fmt: skip
        """A signature with its certificate and its entry in the log. `logged` is the statement that the entry is of,
        by default this one; `seconds` from now is when it came there."""
        key = key or _key()
        certificate = certificate or self.certificate(key)
        signature = _sign(key, signed_bytes(statement))
        entry = self._entry(logged or statement, signature, certificate, NOW + timedelta(seconds=seconds))
        material = {"certificate": {"rawBytes": b64(certificate.public_bytes(Encoding.DER))}, "tlogEntries": [entry]}
        return Vouched(signature, material)

    def signed_by(self, statement: bytes, identity: Identity = PIPELINE, **of_certificate: Any) -> Vouched:
        key = _key()
        return self.vouch(statement, self.certificate(key, identity, **of_certificate), key=key)

    def _entry(
        self, statement: bytes, signature: bytes, certificate: x509.Certificate, time: datetime
    ) -> Mapping[str, Any]:
        verifier = b64(certificate.public_bytes(Encoding.PEM))
        digest = {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()}
        spec = {"envelopeHash": digest, "payloadHash": digest,
                "signatures": [{"signature": b64(signature), "verifier": verifier}]}  # fmt: skip
        body = json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}).encode()
        root, moment = hashlib.sha256(b"\0" + body).digest(), int(time.timestamp())
        note = f"{_LOG}\n1\n{b64(root)}\n"
        line = f"\u2014 {_LOG} {b64(_id(self.rekor)[:4] + _sign(self.rekor, note.encode()))}\n"
        promise = {"body": b64(body), "integratedTime": moment, "logID": _id(self.rekor).hex(), "logIndex": 0}
        signed = json.dumps(promise, sort_keys=True, separators=(",", ":")).encode()
        return {
            "logIndex": "0",
            "logId": {"keyId": b64(_id(self.rekor))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(moment),
            "inclusionPromise": {"signedEntryTimestamp": b64(_sign(self.rekor, signed))},
            "inclusionProof": {"logIndex": "0", "rootHash": b64(root), "treeSize": "1", "hashes": [],
                               "checkpoint": {"envelope": f"{note}\n{line}"}},
            "canonicalizedBody": b64(body),
        }  # fmt: skip


def without(vouched: Vouched, *path: str | int) -> Vouched:
    """The same, with one part of its material taken away."""
    material = json.loads(json.dumps(vouched.material))
    place: Any = material
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return replace(vouched, material=material)
