"""How the files of a repository say that its Dockerfiles are built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from posixpath import dirname, join
from typing import Any

import yaml

from lineal.init import bake, compose, gitlab, hcl, skaffold, werf, workflow
from lineal.init.build import UNKNOWN, Build
from lineal.init.files import Files

_ARG = re.compile(r"^[ \t]*ARG[ \t]+(\w+)=\S", re.IGNORECASE | re.MULTILINE)


class Loader(yaml.SafeLoader):
    """YAML with tags that stand for something which is not read here, such as compose's `!reset`."""


Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def ways(files: Files) -> dict[str, list[Build]]:
    """The builds of each Dockerfile; of one that nothing names, with its own folder and with the root as context."""
    found: dict[str, dict[object, Build]] = {path: {} for path in files.dockerfiles()}
    for path in sorted(files.files):
        for build in _said(files, path):
            if build.dockerfile in files.files:
                known = _without_unknown(build, files.text(build.dockerfile) or "")
                found.setdefault(build.dockerfile, {}).setdefault(known.key, known)
    return {path: list(builds.values()) or list(_guessed(path)) for path, builds in sorted(found.items())}


def _guessed(path: str) -> Iterator[Build]:
    for context in dict.fromkeys((dirname(path) or ".", ".")):
        yield Build(path, context)


def _without_unknown(build: Build, text: str) -> Build:
    """A default of the Dockerfile is nearer to what the project builds than a value that is not known."""
    defaults = set(_ARG.findall(text))
    known = {name: value for name, value in build.args.items() if UNKNOWN not in value or name not in defaults}
    target = None if UNKNOWN in (build.target or "") else build.target
    return replace(build, args=known, target=target)


def _said(files: Files, path: str) -> Iterator[Build]:
    """What one file says. A file that cannot be read says nothing."""
    if compose.is_compose(path):
        env = compose.variables(files.text(join(dirname(path), ".env")) or "")
        yield from compose.builds(path, _read(files, path, _yaml), env)
    elif bake.is_bake(path):
        read = hcl.read if path.endswith(".hcl") else json.loads
        yield from bake.builds(path, _read(files, path, read), files.files)
    elif workflow.is_workflow(path):
        yield from workflow.builds(path, _read(files, path, _yaml))
    elif gitlab.is_pipeline(path):
        yield from gitlab.builds(path, _read(files, path, _yaml))
    elif werf.is_werf(path):
        yield from werf.builds(path, _read(files, path, _documents) or ())
    elif skaffold.is_skaffold(path):
        yield from skaffold.builds(path, _read(files, path, _documents) or ())


def _read(files: Files, path: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(files.text(path) or "")
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader)  # noqa: S506 (it is a safe one)


def _documents(text: str) -> list[Any]:
    return list(yaml.load_all(text, Loader))
