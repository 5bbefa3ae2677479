"""Images of werf.yaml that are made from Dockerfiles: https://werf.io/docs/v2/reference/werf_yaml.html."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from posixpath import dirname
from typing import Any

from lineal.init.build import Build, inside
from lineal.init.compose import written
from lineal.init.fields import table


def is_werf(path: str) -> bool:
    return re.fullmatch(r"(.*/)?werf\.ya?ml", path) is not None


def builds(path: str, documents: Iterable[Any]) -> Iterator[Build]:
    """One for each image; those that werf makes by instructions of its own (`from:`, `shell:`) have no Dockerfile."""
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("dockerfile"), str):
            continue
        context = inside(dirname(path), written(document.get("context") or "."))
        dockerfile = None if context is None else inside(context, document["dockerfile"])
        if context is None or dockerfile is None:
            continue
        names = document.get("image")
        args = {str(name): written(value) for name, value in table(document, "args").items()}
        yield Build(
            dockerfile, context, written(document["target"]) if document.get("target") else None, args, path,
            name=written(names) if isinstance(names, str) else "", platforms=tuple(_platforms(document)),
        )  # fmt: skip


def _platforms(document: dict[str, Any]) -> Iterator[str]:
    said = document.get("platform")
    for one in said if isinstance(said, list) else [said]:
        if isinstance(one, str):
            yield one
