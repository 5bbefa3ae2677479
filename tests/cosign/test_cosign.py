"""cosign, another's program, and Lineal understand each other's keys, signatures and places of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from lineal.oci.image import image_of
from lineal.oci.types import Blob
from lineal.publish.referrer import bundle, referrer, say_once
from lineal.publish.summary import SUMMARY, summary
from lineal.store.open import StoreOpener
from lineal.store.statement import Making, StageStatement
from lineal.trust.envelope import Signature, encode_signatures
from lineal.trust.keys import SigningKey, read_public_key, read_signing_key
from lineal.trust.signed import signer, vouching
from tests.built import COSIGN, needs

PASSWORD = "open"
CONTENT = b"something"
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"

pytestmark = needs("cosign")


def cosign(folder: Path, *args: str, code: int = 0) -> str:
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "COSIGN_PASSWORD": PASSWORD}
    done = subprocess.run([COSIGN, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a pair of keys that cosign has made, and a file."""
    found = tmp_path_factory.mktemp("cosign")
    cosign(found, "generate-key-pair")
    (found / "content").write_bytes(CONTENT)
    return found


@pytest.fixture(scope="module")
def key(folder: Path) -> SigningKey:
    return read_signing_key(str(folder / "cosign.key"), PASSWORD, folder / "workspace")


def statement(digest: str = DIGEST) -> bytes:
    commit = ("a" * 40,)
    return StageStatement(
        "c" * 64, commit, "b" * 40, "main", "", "shop", "1", digest, "linux/amd64", DIGEST, {}, Making("RUN make")
    ).encode()


def test_a_key_that_cosign_has_encrypted_is_read(folder: Path, key: SigningKey) -> None:
    assert key.public.der == read_public_key((folder / "cosign.pub").read_bytes(), "cosign.pub").der


def test_cosign_verifies_what_lineal_signs(folder: Path, key: SigningKey) -> None:
    signatures = signer(key)(statement())
    (folder / "bundle").write_bytes(bundle(statement(), signatures))
    enveloped = json.loads((folder / "bundle").read_bytes())["dsseEnvelope"]
    (folder / "envelope").write_text(json.dumps(enveloped))
    told = ("--key", "cosign.pub", "--type", "slsaprovenance1", "--insecure-ignore-tlog", "content")
    for kind in ("bundle", "signature"):
        name = {"bundle": "bundle", "signature": "envelope"}[kind]
        assert "Verified OK" in cosign(folder, "verify-blob-attestation", f"--{kind}", name, *told)
    forged = json.loads((folder / "bundle").read_bytes())
    forged["dsseEnvelope"]["payload"] = forged["dsseEnvelope"]["payload"].replace("A", "B")
    (folder / "forged").write_text(json.dumps(forged))
    cosign(folder, "verify-blob-attestation", "--bundle", "forged", *told, code=1)


def test_lineal_verifies_what_cosign_signs(folder: Path) -> None:
    (folder / "predicate").write_text('{"buildDefinition": {}, "runDetails": {}}')
    cosign(
        folder, "attest-blob", "--yes", "--key", "cosign.key", "--predicate", "predicate", "--type",
        "slsaprovenance1", "--bundle", "theirs", "--use-signing-config=false", "--tlog-upload=false", "content",
    )  # fmt: skip
    found = json.loads((folder / "theirs").read_bytes())["dsseEnvelope"]
    signatures = encode_signatures([Signature("", b64decode(one["sig"])) for one in found["signatures"]])
    keys = [read_public_key((folder / "cosign.pub").read_bytes(), "cosign.pub")]
    payload = b64decode(found["payload"])
    assert vouching(payload, signatures, keys) == keys[0]
    assert vouching(payload + b" ", signatures, keys) is None


def test_cosign_finds_provenance_beside_a_finished_image(folder: Path, key: SigningKey, repository: str) -> None:
    store = StoreOpener(folder).store(repository)
    image = image_of({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}, [])
    store.put_blob(Blob.of(image.config))
    store.put_manifest(image.manifest)
    said = statement(image.manifest.digest)
    made = referrer(said, image.manifest.descriptor(), signer(key))
    say_once(store, image.manifest.digest, key.public.id, lambda: [made])
    told = ("--key", "cosign.pub", "--type", "slsaprovenance1", "--insecure-ignore-tlog", "--allow-http-registry")
    out = cosign(folder, "verify-attestation", *told, f"{repository}@{image.manifest.digest}")
    assert "The signatures were verified against the specified public key" in out


def test_cosign_verifies_the_summary_of_a_verification(folder: Path, key: SigningKey, repository: str) -> None:
    store = StoreOpener(folder).store(repository)
    image = image_of({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}, [])
    store.put_blob(Blob.of(image.config))
    store.put_manifest(image.manifest)
    digest, policy = image.manifest.digest, {"uri": "policy.yaml", "digest": {"sha256": "0" * 64}}
    said = summary(repository, digest, policy, "1.0.0", 1_700_000_000_000)
    made = referrer(said, image.manifest.descriptor(), signer(key), SUMMARY)
    say_once(store, digest, key.public.id, lambda: [made], SUMMARY)
    told = ("--key", "cosign.pub", "--type", SUMMARY, "--insecure-ignore-tlog", "--allow-http-registry")
    out = cosign(folder, "verify-attestation", *told, f"{repository}@{digest}")
    assert "The signatures were verified against the specified public key" in out
