"""Who owns the fields of an object, as the API server keeps it in `metadata.managedFields` (FieldsV1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lineal.kube.json_fields import entries, mapping, text

Path = tuple[str | int, ...]
"""Keys and places in lists, from the object's top."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns each leaf that is there, without those who keep the status."""

    by_path: dict[Path, set[str]]

    @classmethod
    def of(cls, thing: dict[str, Any]) -> Ownership:
        found: dict[Path, set[str]] = {}
        for entry in entries(thing, "metadata", "managedFields"):
            if entry.get("subresource") == "status":
                continue
            manager = text(entry, "manager") or "somebody"
            for path in _leaves(mapping(entry, "fieldsV1"), thing, ()):
                found.setdefault(path, set()).add(manager)
        return cls(found)

    def owners(self, path: Path) -> set[str]:
        """Those of the field; of one that nobody owns by itself, those of what is in it, else of what it is in."""
        if path in self.by_path:
            return self.by_path[path]
        inside = [who for known, who in self.by_path.items() if known[: len(path)] == path]
        if inside:
            return set().union(*inside)
        above = (self.by_path[path[:end]] for end in range(len(path) - 1, 0, -1) if path[:end] in self.by_path)
        return next(above, set())


def _leaves(fields: dict[str, Any], thing: Any, path: Path) -> Iterator[Path]:
    """The paths of a set of fields, of those that the object has."""
    for key, inner in fields.items():
        if key == ".":
            continue
        step = _step(key, thing)
        if step is None:
            continue
        deeper = {name: value for name, value in inner.items() if name != "."} if isinstance(inner, dict) else {}
        if deeper:
            yield from _leaves(deeper, thing[step], (*path, step))
        else:
            yield (*path, step)


def _step(key: str, thing: Any) -> str | int | None:
    """The key or place that an element of FieldsV1 names; None when the object has none such."""
    kind, _, name = key.partition(":")
    if kind == "f":
        return name if isinstance(thing, dict) and name in thing else None
    if not isinstance(thing, list):
        return None
    try:
        wanted = json.loads(name)
    except ValueError:
        return None
    if kind == "i":
        return wanted if isinstance(wanted, int) and 0 <= wanted < len(thing) else None
    for index, one in enumerate(thing):
        if (kind == "v" and one == wanted) or (kind == "k" and _has(one, wanted)):
            return index
    return None


def _has(one: Any, keys: Any) -> bool:
    """Whether an entry of a list is the one that these keys name."""
    return (
        isinstance(one, dict)
        and isinstance(keys, dict)
        and all(key in one and one[key] == value for key, value in keys.items())
    )


def shown(path: Path) -> str:
    """`spec.template.spec.containers[0].image`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
