"""What differs between two images, as lines to read; and what is wrong with an image's layers."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from tests.differential.image import OPAQUE, WHITEOUT, Entry, Image, members, names, normal, put

# Times are Lineal's own; the digests of layers follow from them.
_IGNORED = {"created", "rootfs", "history"}
Difference = tuple[str, str]
"""Where, and what: ("file /etc/passwd", "mode is 0644, BuildKit's is 0755")."""


def differences(ours: Image, theirs: Image) -> list[Difference]:
    return [
        *_of_files(ours.files(), theirs.files()),
        *_of_values("", _config(ours), _config(theirs)),
        *_of_values("history", _history(ours), _history(theirs)),
    ]


# --- files ----------------------------------------------------------------------------------------------------------


def _of_files(ours: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> Iterator[Difference]:
    for path in sorted(ours.keys() | theirs.keys()):
        where = f"file /{path}"
        if path not in theirs:
            yield where, f"is a {ours[path].type} of ours, BuildKit has none"
        elif path not in ours:
            yield where, f"is missing, BuildKit has a {theirs[path].type} {_text('mode', theirs[path].mode)}"
        elif ours[path] != theirs[path]:
            for name in _differing(ours[path], theirs[path]):
                mine, other = getattr(ours[path], name), getattr(theirs[path], name)
                yield where, f"{name} is {_text(name, mine)}, BuildKit's is {_text(name, other)}"
    mine, other = _hard_links(ours), _hard_links(theirs)
    for paths in sorted(mine ^ other):
        who = "one file for us only" if paths in mine else "one file for BuildKit only"
        yield f"file /{paths[0]}", f"hard links: {', '.join(paths)} are {who}"


def _differing(one: Entry, other: Entry) -> list[str]:
    found = [field.name for field in fields(Entry) if field.compare]
    return [name for name in found if getattr(one, name) != getattr(other, name)]


def _text(name: str, value: Any) -> str:
    return f"{value:04o}" if name == "mode" else str(value)


def _hard_links(files: Mapping[str, Entry]) -> set[tuple[str, ...]]:
    same = defaultdict(list)
    for path, entry in files.items():
        same[entry.inode].append(path)
    return {tuple(sorted(paths)) for paths in same.values() if len(paths) > 1}


# --- config ---------------------------------------------------------------------------------------------------------


def _config(image: Image) -> dict[str, Any]:
    return {key: value for key, value in image.config.items() if key not in _IGNORED}


def _history(image: Image) -> list[str]:
    """The instructions that made the image, in order. Their wording is each builder's own: BuildKit writes variables
    expanded, and the shell and arguments of a RUN; Lineal writes what the Dockerfile says, and no ARG. So is how many
    layers there are: Lineal makes the directory of a WORKDIR in the layer of the next instruction."""
    texts = [entry.get("created_by", "") for entry in image.config.get("history") or []]
    words = [text if text.startswith("layer ") else (text.upper().split() or [""])[0] for text in texts]
    return [word for word in words if word != "ARG"]


def _of_values(where: str, ours: Any, theirs: Any) -> Iterator[Difference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _of_values(f"{where}.{key}" if where else key, ours.get(key), theirs.get(key))
    elif ours != theirs:
        yield where, f"is {ours!r}, BuildKit's is {theirs!r}"


# --- layers ---------------------------------------------------------------------------------------------------------


def faults(image: Image) -> list[str]:
    """What tools may trip over in the layers, although the files come out right."""
    below: dict[str, Entry] = {}
    found = []
    for number, layer in enumerate(image.layers):
        found += [f"layer {number}: {fault}" for fault in _faults(layer, below)]
        put(below, layer)
    empty = sum(not entry.get("empty_layer", False) for entry in image.config.get("history", []))
    if image.config.get("history") and empty != len(image.layers):
        found.append(f"the history has {empty} layers, the image {len(image.layers)}")
    return found


def _faults(layer: bytes, below: Mapping[str, Entry]) -> Iterator[str]:
    entries = members(layer)
    paths = [path for path, _ in entries]
    position = {path: at for at, path in reversed(list(enumerate(paths)))}
    yield from (f"{path} is there {count} times" for path, count in Counter(paths).items() if count > 1)
    yield from (f"{name!r} is no plain name" for name in names(layer) if name.rstrip("/") != normal(name))
    for at, (path, entry) in enumerate(entries):
        parent, base = posixpath.split(path)
        if parent and parent not in position and parent not in below:
            yield f"{path} has no parent here or below"
        if parent and position.get(parent, -1) > at:
            yield f"{path} stands before its parent"
        if entry.type == "hardlink" and position.get(entry.link, at) >= at:
            yield f"{path} is a hard link to {entry.link}, which does not stand before it"
        if base == OPAQUE and parent not in below:
            yield f"{path} hides a directory that is not there"
        elif base.startswith(WHITEOUT) and base != OPAQUE:
            hidden = posixpath.join(parent, base[len(WHITEOUT) :])
            if hidden not in below:
                yield f"{path} hides what is not there"
            if hidden in position:
                yield f"{path} and {hidden} are both there"
