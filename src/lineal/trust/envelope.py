"""DSSE: what a signature of a statement covers, and how an envelope has the signatures."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from lineal.store.statement import STATEMENT

_MOST = 16
"""Signatures of one statement that are looked at."""


@dataclass(frozen=True, slots=True)
class Signature:
    key_id: str
    """By which its maker names the key; nothing rests on it."""
    value: bytes


def signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding of a statement."""
    return b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(payload), payload)


def encode_signatures(signatures: Sequence[Signature]) -> str:
    """The `signatures` of an envelope, as JSON."""
    found = [{"keyid": one.key_id, "sig": b64encode(one.value).decode()} for one in signatures]
    return json.dumps(found, separators=(",", ":"))


def decode_signatures(text: str) -> list[Signature]:
    """Raises ValueError for what is none."""
    try:
        return [
            Signature(str(one.get("keyid", "")), b64decode(one["sig"], validate=True))
            for one in json.loads(text)[:_MOST]
        ]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no signatures: {error}") from None
