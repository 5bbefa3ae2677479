"""Values of manifests that are new in every render: a password that the chart makes, a certificate, the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lineal.deploy.helm.objects import objects_of
from lineal.kube.json_fields import text
from lineal.kube.objects import name_of

_NAMED = 5
_Key = tuple[str, ...]


def unsteady(one: str, other: str) -> list[str]:
    """A sentence for each object that differs between two renders of the same, with the fields that do."""
    if one == other:
        return []
    first, second = _by_key(one), _by_key(other)
    told = [f"{name} is rendered under another name, or not at all, each time." for name in _alone(first, second)]
    for key, thing in first.items():
        fields = sorted(set(_differences(thing, second.get(key, thing))))
        if fields:
            more = f" and {len(fields) - _NAMED} more" if len(fields) > _NAMED else ""
            told.append(f"{name_of(thing)} has other values in every render: {', '.join(fields[:_NAMED])}{more}.")
    return told


def _alone(first: dict[_Key, Any], second: dict[_Key, Any]) -> list[str]:
    return sorted(name_of(first[key]) for key in first.keys() - second.keys())


def _by_key(manifests: str) -> dict[_Key, dict[str, Any]]:
    def key(one: dict[str, Any]) -> _Key:
        about = "namespace", "name"
        return text(one, "apiVersion"), text(one, "kind"), *(text(one, "metadata", name) for name in about)

    return {key(one): one for one in objects_of([manifests])}


def _differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """The paths of the fields that differ, never their values: `data.password`."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, theirs, f"{path}[{index}]")
    elif one != other:
        yield path or "all of it"


def sentences(found: Iterable[str]) -> Iterator[str]:
    """The findings with what they mean for whoever applies every change."""
    for sentence in found:
        yield f"{sentence} Whoever applies each render changes it each time: give the chart a value of your own."
