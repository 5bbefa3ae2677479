"""Builds of compose files: https://github.com/compose-spec/compose-spec/blob/main/build.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from posixpath import dirname
from typing import Any

from lineal.init.build import UNKNOWN, Build, inside

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-+?])(?P<other>([^{}]|\{[^{}]*\})*))?\})"
)


def is_compose(path: str) -> bool:
    return re.fullmatch(r"(docker-)?compose([.-][\w.-]+)?\.ya?ml", path.rpartition("/")[2]) is not None


def variables(text: str) -> dict[str, str]:
    """The variables of a `.env`."""
    pairs = (line.removeprefix("export ").partition("=") for line in text.splitlines() if not line.startswith("#"))
    known: dict[str, str] = {}
    for name, equals, value in pairs:
        if equals:
            known[name.strip()] = interpolated(value.strip().strip("\"'"), known)
    return known


def builds(path: str, document: Any, env: Mapping[str, str]) -> Iterator[Build]:
    """The builds of the services of a compose file; `env` is what `.env` beside it says."""
    services = document.get("services") if isinstance(document, dict) else None
    for name, service in services.items() if isinstance(services, dict) else ():
        said = service.get("build") if isinstance(service, dict) else None
        said = {"context": said} if isinstance(said, str) else said
        if not isinstance(said, dict) or "dockerfile_inline" in said:
            continue

        def text(key: str, default: str, said: dict[str, Any] = said) -> str:
            return interpolated(written(said.get(key) or default), env)

        context = inside(dirname(path), text("context", "."))
        dockerfile = None if context is None else inside(context, text("dockerfile", "Dockerfile"))
        if context is not None and dockerfile is not None:
            yield Build(
                dockerfile,
                context,
                text("target", "") or None,
                _arguments(said.get("args"), env),
                path,
                name=str(name),
                labels=_arguments(said.get("labels"), env),
                contexts=_arguments(said.get("additional_contexts"), env),
            )


def _arguments(said: Any, env: Mapping[str, str]) -> dict[str, str]:
    """`args` as a list or a mapping; one without a value is the variable of its name."""
    if isinstance(said, list):
        said = {
            name: value if equals else None for name, equals, value in (written(one).partition("=") for one in said)
        }
    if not isinstance(said, dict):
        return {}
    given = {str(name): env.get(str(name)) if value is None else written(value) for name, value in said.items()}
    return {name: interpolated(value, env) for name, value in given.items() if value is not None}


def written(value: Any) -> str:
    """A scalar as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    # Anything else may be written out much longer than it is in the file.
    return str(value) if isinstance(value, str | int | float) else UNKNOWN


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """Compose's variables. One that is not set is empty there; here its value is unknown."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        known = env.get(found["plain"] or found["name"])
        how, other = found["how"] or "", found["other"] or ""
        is_set = bool(known) if how.startswith(":") else known is not None
        if how.endswith("+"):
            return interpolated(other, env) if is_set else ""
        if is_set:
            return known or ""
        return interpolated(other, env) if how.endswith("-") else UNKNOWN

    return _VARIABLE.sub(value, text)
