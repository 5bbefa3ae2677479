"""The objects in the text of manifests, those in lists too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

UNREADABLE = "(unreadable)"
"""The kind that stands for an object whose YAML cannot be read."""
_DEEPEST = 5
"""Levels of lists in lists that are read."""


def read_objects(manifests: str) -> list[dict[str, Any]]:
    """The objects of manifests with `---` between them."""
    return list(objects_of([manifests]))


def objects_of(texts: Iterable[str]) -> Iterable[dict[str, Any]]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for text in texts:
        try:
            for document in yaml.load_all(text, Loader=loader):
                yield from _flat(document, _DEEPEST)
        except (yaml.YAMLError, ValueError, RecursionError):
            # Go's YAML takes more than Python's. As a text, the manifest can still be compared.
            yield _unreadable(text)


def _unreadable(content: Any) -> dict[str, Any]:
    return {"kind": UNREADABLE, "metadata": {"name": "text"}, "text": content}


def _flat(thing: Any, deeper: int) -> Iterator[dict[str, Any]]:
    """The objects of a list, which may hold lists. To Kubernetes anything with `items` is a list of objects, and its
    kind (`ConfigMapList`) says their kind."""
    if not isinstance(thing, dict):
        return
    items = thing.get("items")
    if not isinstance(items, list) or (items and not any(isinstance(item, dict) for item in items)):
        yield thing
        return
    if not deeper:
        yield _unreadable(items)
        return
    kind = str(thing.get("kind", "")).removesuffix("List")
    known = {"apiVersion": thing.get("apiVersion"), "kind": kind} if kind else {}
    for item in items:
        if isinstance(item, dict):
            yield from _flat(item if item.get("kind") else {**item, **known}, deeper - 1)
