"""Artifacts of skaffold.yaml that are made from Dockerfiles: https://skaffold.dev/docs/references/yaml/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from posixpath import dirname
from typing import Any

from lineal.init.build import UNKNOWN, Build, inside
from lineal.init.compose import written
from lineal.init.fields import items, table

_OTHERS = {"bazel", "buildpacks", "custom", "jib", "jibMaven", "jibGradle", "ko"}
"""Builders without a Dockerfile."""


def is_skaffold(path: str) -> bool:
    return re.fullmatch(r"(.*/)?skaffold\.ya?ml", path) is not None


def builds(path: str, documents: Iterable[Any]) -> Iterator[Build]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        every = table(document, "build")
        for artifact in items(every.get("artifacts")):
            if isinstance(artifact, dict) and not _OTHERS & artifact.keys():
                yield from _build(path, artifact, every)


def _build(path: str, artifact: Mapping[str, Any], every: Mapping[str, Any]) -> Iterator[Build]:
    said = table(artifact, "docker") or table(artifact, "kaniko")
    context = inside(dirname(path), written(artifact.get("context") or "."))
    dockerfile = None if context is None else inside(context, written(said.get("dockerfile") or "Dockerfile"))
    if context is None or dockerfile is None:
        return
    args = {str(name): _plain(written(value)) for name, value in table(said, "buildArgs").items()}
    platforms = items(artifact.get("platforms")) or items(every.get("platforms"))
    yield Build(
        dockerfile, context, written(said["target"]) if said.get("target") else None, args, path,
        name=written(artifact.get("image")).rpartition("/")[2],
        platforms=tuple(one for one in platforms if isinstance(one, str)),
    )  # fmt: skip


def _plain(value: str) -> str:
    """A value; what skaffold's templates make is known when it runs."""
    return UNKNOWN if "{{" in value else value
