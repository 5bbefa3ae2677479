"""Builds of docker bake files: https://docs.docker.com/build/bake/reference/.

A file in HCL is read by `hcl.py`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from posixpath import dirname
from typing import Any

from lineal.init.build import UNKNOWN, Build, inside
from lineal.init.compose import written
from lineal.init.fields import items, table

_OWN = frozenset({"context", "dockerfile", "tags", "target"})
"""What a target has that is more than a parent of others."""
Targets = Mapping[str, Mapping[str, Any]]


def is_bake(path: str) -> bool:
    """Whether it may be one: HCL says many things, and only a bake file has targets."""
    name = path.rpartition("/")[2]
    return name.endswith(".hcl") or re.fullmatch(r"(docker-)?bake([.-][\w.-]+)?\.json", name) is not None


def builds(path: str, document: Any, files: Collection[str]) -> Iterator[Build]:
    """The builds of a bake file that was read as JSON. Its paths start where bake is called: beside the file or at
    the root, wherever the Dockerfile is."""
    targets = document.get("target") if isinstance(document, dict) else None
    if not isinstance(targets, dict):
        return
    parents = {str(one) for own in targets.values() if isinstance(own, dict) for one in items(own.get("inherits"))}
    for name, own in targets.items():
        if name.startswith("_") or (name in parents and not _OWN & set(own if isinstance(own, dict) else ())):
            continue
        found = _inherited(name, targets)
        for folder in dict.fromkeys((dirname(path), "")):
            context = inside(folder, _text(found, "context", "."))
            dockerfile = None if context is None else inside(context, _text(found, "dockerfile", "Dockerfile"))
            if context is not None and dockerfile is not None and dockerfile in files:
                args = table(found, "args")
                given = {str(key): _known(written(value)) for key, value in args.items() if value is not None}
                yield Build(
                    dockerfile,
                    context,
                    _text(found, "target", "") or None,
                    given,
                    path,
                    name=name,
                    tags=_texts(found, "tags"),
                    labels={str(key): written(value) for key, value in table(found, "labels").items()},
                    platforms=_texts(found, "platforms"),
                    pushed="tags" in found,
                    contexts={str(key): written(value) for key, value in table(found, "contexts").items()},
                )
                break


def _inherited(name: str, targets: Targets, known: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """A target with what it inherits: own attributes win, then the last parent's; arguments are put together.
    `known` are targets that were put together already; one that inherits itself has its own attributes there."""
    known = {} if known is None else known
    own = targets.get(name)
    if name in known or not isinstance(own, dict):
        return known.get(name, {})
    known[name] = dict(own)
    found: dict[str, Any] = {}
    for part in [*(_inherited(str(one), targets, known) for one in items(own.get("inherits"))), own]:
        args = {**table(found, "args"), **table(part, "args")}
        found |= {key: value for key, value in part.items() if value is not None} | {"args": args}
    known[name] = found
    return found


def _texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = found.get(key)
    return tuple(_known(one) for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _text(found: Mapping[str, Any], key: str, default: str) -> str:
    value = found.get(key)
    return default if value is None else _known(value) if isinstance(value, str) else UNKNOWN


def _known(value: str) -> str:
    """JSON may hold the templates of HCL, which are not read there."""
    return UNKNOWN if "${" in value else value
