"""Fields of what an API server or helm answers: anything may be missing or of another type."""

from __future__ import annotations

from typing import Any

from lineal.text import printable

_LONGEST = 300


def at(thing: Any, *keys: str) -> Any:
    """None where there is no such field."""
    for key in keys:
        thing = thing.get(key) if isinstance(thing, dict) else None
    return thing


def mapping(thing: Any, *keys: str) -> dict[str, Any]:
    found = at(thing, *keys)
    return found if isinstance(found, dict) else {}


def entries(thing: Any, *keys: str) -> list[dict[str, Any]]:
    found = at(thing, *keys)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(thing: Any, *keys: str, longest: int = _LONGEST) -> str:
    """One printable line."""
    found = at(thing, *keys)
    return printable(found, longest) if isinstance(found, str) else ""


def number(thing: Any, *keys: str) -> int:
    found = at(thing, *keys)
    return found if isinstance(found, int) else 0
