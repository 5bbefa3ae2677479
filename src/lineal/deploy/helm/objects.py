"""The objects in the text of manifests, those in lists too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

UNREADABLE = "(unreadable)"
"""The kind that stands for an object whose YAML cannot be read."""
_DEEPEST = 5
"""Levels of lists in lists that are read."""
_BETWEEN = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_PLAIN = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$")
"""What YAML 1.1 takes for a number to the base 60."""
_NUMBER = re.compile(r"[-+]?(?:0o[0-7]+|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$")
"""What Go's YAML takes for a number beside YAML 1.1's: `1e3`, `0800`, `0o17`."""
_NO_TEXTS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


def read_objects(manifests: str) -> list[dict[str, Any]]:
    """The objects of manifests with `---` between them."""
    return list(objects_of([manifests]))


def objects_of(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    for text in texts:
        for document in _BETWEEN.split(text):
            yield from _objects(document)


def _objects(text: str) -> list[dict[str, Any]]:
    """Those of one document. What cannot be read hides no other one, which may be a Secret."""
    import yaml

    try:
        return [one for found in yaml.load_all(text, Loader=_loader()) for one in _flat(found, _DEEPEST)]
    except (yaml.YAMLError, ValueError, RecursionError):
        # Go's YAML takes more than Python's. As a text, the manifest can still be compared.
        return [_unreadable(text)]


@cache
def _loader() -> Any:
    """Reads as Helm and the cluster do: a date, `12:30` and `=` are texts, and an unknown tag says nothing."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    def untagged(loader: Any, node: Any) -> Any:
        if node.id == "scalar":
            return loader.construct_scalar(node)
        return (loader.construct_sequence if node.id == "sequence" else loader.construct_mapping)(node, deep=True)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag not in _NO_TEXTS]
        for first, known in Loader.yaml_implicit_resolvers.items()
    }
    for first in "-+0123456789":
        known = Loader.yaml_implicit_resolvers.setdefault(first, [])
        Loader.yaml_implicit_resolvers[first] = [
            ("tag:yaml.org,2002:str", _PLAIN),
            *known,
            ("tag:lineal:number", _NUMBER),
        ]
    Loader.add_constructor("tag:lineal:number", lambda _, node: _number(node.value))
    Loader.add_constructor(None, untagged)
    return Loader


def _number(written: str) -> float:
    return int(written, 8) if "o" in written else float(written)


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
