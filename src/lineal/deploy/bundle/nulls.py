"""Nulls in a bundle's values, which take defaults of a subchart away: they are taken away in the subchart itself.

Helm 3 heeds a null in a chart's own values. Helm 4 (4.3.1) does so where the release has values for that subchart,
else leaves it out: of a bundle, which is installed without values, the default would be back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lineal.deploy.bundle.bundle import written
from lineal.deploy.helm.values_merge import over

Read = Callable[[bytes], dict[str, Any]]
"""Reads a chart's values as Helm does."""


def settle(
    files: Mapping[str, bytes], values: dict[str, Any], given: Mapping[str, Any], read: Read
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a chart whose values are `values`, and these values, without the nulls that say what a subchart
    shall not have: as Helm 4 has it, all those for a subchart of which `given` says anything.

    A null of the chart itself stays: Helm 4 heeds it nowhere. So does one where two names (`alias`) stand for one
    subchart: it is not for both."""
    return _settle(files, values, values, given, read, "")


def _settle(
    files: Mapping[str, bytes], values: dict[str, Any], said: Mapping[str, Any], given: Mapping[str, Any], read: Read,
    folder: str,
) -> tuple[dict[str, bytes], dict[str, Any]]:  # fmt: skip
    """Of the chart in `folder`: `values` are those that its parents have for it, and `said` has its own as well."""
    changed, left = dict(files), dict(values)
    for key, inner in _subcharts(files, folder):
        asked, nulls, path = given.get(key), said.get(key), f"{inner}values.yaml"
        if not isinstance(asked, dict) or not isinstance(nulls, dict):
            continue
        if not _has_null(nulls) and not any(name.startswith(f"{inner}charts/") for name in files):
            continue
        own = read(changed[path]) if path in changed else {}
        without, theirs = _without(own, nulls, own), values.get(key)
        # The subcharts of the subchart have defaults of their own.
        known = theirs if isinstance(theirs, dict) else {}
        changed, rest = _settle(changed, known, over(own, nulls), asked, read, inner)
        if isinstance(theirs, dict):
            left[key] = _without(rest, nulls, own)
        if without != own:
            changed[path] = written(without)
    return changed, left


def _subcharts(files: Mapping[str, bytes], folder: str) -> Iterator[tuple[str, str]]:
    """Each subchart that has one name only: the key of its values, and its folder."""
    from lineal.deploy.helm.dependencies import entries_of

    named = (files.get(f"{folder}{file}", b"") for file in ("Chart.yaml", "requirements.yaml"))
    entries = [entry for data in named for entry in entries_of(data)]
    start = f"{folder}charts/"
    inside = {path[len(start) :].partition("/")[0] for path in files if path.startswith(start)}
    for name in sorted(inside):
        keys = {str(entry.get("alias") or name) for entry in entries if entry["name"] == name} or {name}
        if len(keys) == 1:
            yield keys.pop(), f"{start}{name}/"


def _has_null(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and any(map(_has_null, value.values())))


def _without(values: Mapping[str, Any], nulls: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without the keys that `nulls` has a null for, as far as they are in `own`."""
    kept = dict(values)
    for key, value in nulls.items():
        inner = own.get(key)
        if key in own and value is None:
            kept.pop(key, None)
        elif isinstance(value, dict) and isinstance(inner, dict) and isinstance(kept.get(key), dict):
            kept[key] = _without(kept[key], value, inner)
    return kept
