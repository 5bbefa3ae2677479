"""Signed stages for tests: a key, and a stage that it signed in a store in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lineal.oci.types import Blob, Manifest
from lineal.store.record import Record, record_documents, stage_index
from lineal.store.statement import Builder, Making
from lineal.trust import Evidence
from lineal.trust.keys import PublicKey, SigningKey, read_public_key
from lineal.trust.signed import signer
from tests.unit.stages.workbench import MemoryStore, built, record

STORE = "registry.example.com/team/shop"
NOW = 1_600_000_000_000


@cache
def new_key(name: str = "ci") -> SigningKey:
    """A key of its own for each name."""
    del name
    return SigningKey(generate_private_key(SECP256R1()))


def pem(key: SigningKey) -> str:
    return key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: SigningKey) -> bytes:
    return key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_key(key: SigningKey, name: str = "keys/ci.pub") -> PublicKey:
    return read_public_key(public_pem(key), name)


def signed_stage(
    store: MemoryStore, found: Record | None = None, *, key: SigningKey | None = None, builder: Builder | None = None,
    text: str = "", signed_at: int = NOW, sign: Callable[[bytes], str] | None = None,
) -> Manifest:  # fmt: skip
    """The index of a stage whose statement is signed, with all of it in the store."""
    found, made = found or record(), built(text)
    making = Making("RUN make", builder=builder or Builder(store=STORE))
    sign = sign or signer(key or new_key())
    blobs, beside = record_documents(
        found, made.inputs, made.filesystem, made.image, made.platform, making, sign, signed_at
    )
    for blob in (Blob.of(made.image.config), *blobs):
        store.put_blob(blob)
    for manifest in (made.image.manifest, beside):
        store.put_manifest(manifest)
    return stage_index(made.image, beside, found, made.platform)


def evidence(store: MemoryStore, index: Manifest, repository: str = STORE) -> Evidence:
    return Evidence(index, Record.read(index), repository, store)
