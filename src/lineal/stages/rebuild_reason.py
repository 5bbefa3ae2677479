"""Why a stage is new: what of its inputs differs from the same step one commit earlier, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lineal.dockerfile.stage import Parts, Stage

_SHOWN = 2
_TELLING = {
    "words": "the command",
    "destination": "the destination",
    "sources": "the sources",
    "from": "the base",
    "cache_version": "cache_version",
    "platform": "the platform",
    "run_options": "add_hosts, shm_size, ulimits or source_date_epoch",
}


def explain(images: Mapping[str, Parts], before: Mapping[str, Parts], earlier: str) -> dict[str, str]:
    """Checksum -> reason, for every stage that differs from the graph `before`, of the commit `earlier`."""
    reasons: dict[str, str] = {}
    for name, platform, last in [(name, *part) for name, parts in images.items() for part in parts.items()]:
        stages = list(reversed(list(_all(last))))
        then = before.get(name, {})
        # Without this platform then, what changed is the platform.
        former = then.get(platform) or next(iter(then.values()), None)
        old = list(reversed(list(_all(former)))) if former is not None else []
        known = {stage.checksum for stage in old}
        for number, stage in enumerate(stages):
            if stage.checksum not in known and stage.checksum not in reasons:
                reasons[stage.checksum] = _reason(stage, _counterpart(stage, number, old), earlier)
    return reasons


def _all(last: Stage) -> Iterator[Stage]:
    """The stage, its ancestors and what they copy from, each once, the last first."""
    seen: set[int] = set()
    queue = [last]
    while queue:
        stage = queue.pop(0)
        if id(stage) not in seen:
            seen.add(id(stage))
            yield stage
            queue.extend(stage.dependencies())


def _counterpart(stage: Stage, number: int, old: list[Stage]) -> Stage | None:
    """The same step earlier: the one with the same text, else the one of the same kind in the same position."""
    for other in old:
        if (other.image, other.target, other.text) == (stage.image, stage.target, stage.text):
            return other
    if number < len(old) and (type(old[number].op), old[number].target) == (type(stage.op), stage.target):
        return old[number]
    return None


def _reason(stage: Stage, before: Stage | None, earlier: str) -> str:
    if before is None:
        return f"not in the Dockerfile of {earlier}"
    if stage.inputs != before.inputs:
        return _difference(stage.inputs, before.inputs)
    if stage.parent is not None and (before.parent is None or stage.parent.checksum != before.parent.checksum):
        return "follows a stage that changed"
    return "copies from a stage that changed"


def _difference(new: dict[str, Any], old: dict[str, Any]) -> str:
    """The most telling difference. Values of arguments and variables are never shown."""
    for key, name in _TELLING.items():
        if new.get(key) != old.get(key):
            return f"{name} changed"
    if isinstance(new.get("files"), list) and isinstance(old.get("files"), list) and new["files"] != old["files"]:
        return _files(_entries(new["files"]), _entries(old["files"]))
    if new.get("mounted") != old.get("mounted"):
        return "mounted files changed"
    if new.get("files") != old.get("files"):
        return "copies from a stage that changed"
    seen, saw = new.get("sees") or {}, old.get("sees") or {}
    if seen != saw:
        return _variables(seen, saw)
    if new.get("metadata") != old.get("metadata"):
        return "metadata before it changed"
    return "its options changed"


def _entries(files: list[Any]) -> dict[str, tuple[str, str]]:
    return {path: (mode, oid) for source in files for root in source for path, mode, oid in root[1]}


def _files(new: dict[str, tuple[str, str]], old: dict[str, tuple[str, str]]) -> str:
    changed = [path for path in new if path in old and new[path] != old[path]]
    for what, paths in (("changed", changed), ("added", [path for path in new if path not in old]),
                        ("removed", [path for path in old if path not in new])):  # fmt: skip
        if paths:
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            return f"{', '.join(sorted(paths)[:_SHOWN])}{more} {what}"
    return "the order of sources changed"


def _variables(new: dict[str, Any], old: dict[str, Any]) -> str:
    env, was = new.get("env") or {}, old.get("env") or {}
    names = sorted(name for name in {*env, *was} if env.get(name) != was.get(name))
    if names:
        return f"{', '.join(names[:_SHOWN])} changed"
    return f"{next(key for key in new if new[key] != old.get(key))} changed"
