"""Values of a parsed file whose kinds nobody has checked: one of another kind is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def table(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}
