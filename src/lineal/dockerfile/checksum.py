"""The checksum that names a stage: SHA-256 over canonical JSON of its inputs (DESIGN §4).

Bump FORMAT, and the golden values in tests/golden, when equal inputs must stop giving equal checksums."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = 1

Inputs = dict[str, Any]
"""The inputs of a stage by name, as JSON values. Every one of them is part of its checksum."""


def checksum(inputs: Inputs) -> str:
    """Hex SHA-256 of the inputs. The order of the names in an object does not matter."""
    return hashlib.sha256(canonical({"format": FORMAT, **inputs})).hexdigest()


def canonical(value: Any) -> bytes:
    """Sorted keys, no white space. File names that are no UTF-8 are lone surrogates; as ASCII escapes, two of them
    could not be told from the one character that they would make."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def files_digest(inputs: Inputs) -> Inputs:
    """The inputs for a record: long file lists are replaced by their count and their own checksum."""
    if not isinstance(inputs.get("files"), list):
        return inputs
    listed = [entry for source in inputs["files"] for root in source for entry in root[1]]
    return {**inputs, "files": {"count": len(listed), "checksum": checksum({"files": inputs["files"]})}}
