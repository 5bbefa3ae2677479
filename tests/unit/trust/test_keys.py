"""Keys: which are taken, and that a refusal names what to do and repeats nothing of a key."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import scrypt
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from nacl.secret import SecretBox

from lineal.errors import BadConfiguration
from lineal.trust.keys import PublicKey, SigningKey, read_public_key, read_signing_key
from tests.unit.trust.signing import new_key, pem, public_key, public_pem

ED = SigningKey(ed25519.Ed25519PrivateKey.generate())


def encrypted_as_cosign_does(key: SigningKey, password: str, n: int = 1024) -> str:
    der = key.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = b"s" * 32, b"n" * 24
    box = SecretBox(scrypt(password.encode(), salt=salt, n=n, r=8, p=1, dklen=32))
    document = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": b64encode(nonce).decode()},
        "ciphertext": b64encode(box.encrypt(der, nonce).ciphertext).decode(),
    }
    body = b64encode(json.dumps(document).encode()).decode()
    kind = "ENCRYPTED SIGSTORE PRIVATE KEY"
    return f"-----BEGIN {kind}-----\n{body[:64]}\n{body[64:]}\n-----END {kind}-----\n"


@pytest.mark.parametrize("key", [new_key(), ED])
def test_a_key_verifies_what_its_private_half_has_signed(key: SigningKey, tmp_path: Path) -> None:
    read = read_signing_key(pem(key), "", tmp_path)
    assert read.public.der == public_key(key).der
    signature = read.sign(b"text")
    assert public_key(key).verifies(signature, b"text")
    assert not public_key(key).verifies(signature, b"other")
    assert not public_key(new_key("another")).verifies(signature, b"text")


def test_a_key_may_stand_in_a_file_outside_of_the_workspace(tmp_path: Path) -> None:
    workspace = tmp_path / "clone"
    workspace.mkdir()
    (tmp_path / "ci.key").write_text(pem(ED))
    assert read_signing_key(str(tmp_path / "ci.key"), "", workspace).public.der == public_key(ED).der
    (workspace / "ci.key").symlink_to(tmp_path / "ci.key")
    assert read_signing_key("ci.key", "", workspace).public.der == public_key(ED).der
    (workspace / "own.key").write_text(pem(ED))
    (tmp_path / "link").symlink_to(workspace / "own.key")
    for name in ("own.key", str(tmp_path / "link")):
        with pytest.raises(BadConfiguration, match="in the workspace, where a Dockerfile could copy it"):
            read_signing_key(name, "", workspace)


def test_a_key_as_cosign_encrypts_it_opens_with_its_password(tmp_path: Path) -> None:
    text = encrypted_as_cosign_does(new_key(), "open")
    assert read_signing_key(text, "open", tmp_path).public.der == public_key(new_key()).der
    with pytest.raises(BadConfiguration, match="COSIGN_PASSWORD is not its password"):
        read_signing_key(text, "shut", tmp_path)


def test_an_encrypted_key_of_openssl_opens_too(tmp_path: Path) -> None:
    text = ED.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open")).decode()
    assert read_signing_key(text, "open", tmp_path).public.der == public_key(ED).der
    with pytest.raises(BadConfiguration, match="COSIGN_PASSWORD is not its password"):
        read_signing_key(text, "", tmp_path)


RSA = rsa.generate_private_key(65537, 2048).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
).decode()  # fmt: skip
P384 = ec.generate_private_key(ec.SECP384R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
).decode()  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [RSA, P384, pem(ED)[:80], encrypted_as_cosign_does(ED, "x")[:200], encrypted_as_cosign_does(ED, "")[:-80] + "x",
     "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", "", "no-such-file", "a\0b", "x" * 5000, "/", "ключ"],
    ids=["RSA", "P-384", "cut off", "encrypted and cut off", "encrypted and changed", "a header", "empty", "no file",
         "a zero byte", "long", "a directory", "not ASCII"],
)  # fmt: skip
def test_what_is_no_signing_key_is_refused_without_a_word_of_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as refused:
        read_signing_key(text, "", tmp_path)
    assert refused.value.id == "LN-1046"
    assert not any(line and line in str(refused.value) for line in text.splitlines() if len(line) > 8)


@pytest.mark.parametrize(
    "data",
    [b"", b"text", public_pem(ED)[:70], pem(ED).encode(), RSA.encode(), public_pem(ED).replace(b"PUBLIC", b"OTHER"),
     b"\xff" * 200],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(data: bytes) -> None:
    with pytest.raises(BadConfiguration, match="is not the public half of") as refused:
        read_public_key(data, "keys/ci.pub")
    assert ("whoever sees the commit can sign with it" in str(refused.value)) is (b"PRIVATE" in data)


def test_a_point_beside_the_curve_is_nobody_s_key() -> None:
    der = public_key(new_key()).der
    wrong = PublicKey("keys/ci.pub", der[:-64] + b"\1" * 64)
    assert not wrong.verifies(new_key().sign(b"x"), b"x")
