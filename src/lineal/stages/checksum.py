"""The checksum that names a stage: SHA-256 over canonical JSON of its inputs (DESIGN §4).

Bump FORMAT, and the golden values in tests/golden, when equal inputs must stop giving equal checksums."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = 1


def checksum(inputs: dict[str, Any]) -> str:
    """Hex SHA-256 of the inputs, which are JSON values; their order in objects does not matter."""
    return hashlib.sha256(canonical({"format": FORMAT, **inputs})).hexdigest()


def canonical(value: Any) -> bytes:
    """Sorted keys, no white space, ASCII only: file names that are no UTF-8 survive as lone surrogates."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest(value: Any) -> str:
    """A short stand-in for a long part of the inputs, such as 100,000 files, where they are only kept for people."""
    return hashlib.sha256(canonical(value)).hexdigest()
