"""Builds of GitHub's workflows and composite actions: the steps with docker/build-push-action."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from lineal.init.build import UNKNOWN, Build, inside
from lineal.init.fields import items, table
from lineal.init.tag_rules import DEFAULT

_MOST_JOBS = 64
_STEP = re.compile(r"steps\.([\w-]+)\.outputs\.tags")
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)


def is_workflow(path: str) -> bool:
    return re.fullmatch(r"\.github/(workflows/[^/]+|.*action)\.ya?ml", path) is not None


def builds(path: str, document: Any) -> Iterator[Build]:
    whole = document if isinstance(document, dict) else {}
    for job in _jobs(whole):
        env = {**table(whole, "env"), **table(job, "env")}
        steps = [step for step in items(job.get("steps")) if isinstance(step, dict)]
        metadata = {str(step.get("id")): table(step, "with") for step in steps if _uses(step, "metadata-action")}
        for step in steps:
            if _uses(step, "build-push-action"):
                given = table(step, "with")
                for matrix in _matrix(job.get("strategy")):
                    known = {"matrix": matrix, "env": env}
                    values = {str(key): _value(value, known) for key, value in given.items()}
                    meant = _STEP.search(str(given.get("tags")))
                    meta = metadata.get(meant[1], {}) if meant else {}
                    yield from _build(path, values, {str(key): _value(value, known) for key, value in meta.items()})


def _uses(step: Mapping[str, Any], action: str) -> bool:
    return str(step.get("uses")).startswith(f"docker/{action}@")


def _jobs(document: Any) -> Iterator[Mapping[str, Any]]:
    """The jobs of a workflow; of an action, what it runs."""
    parts = document if isinstance(document, dict) else {}
    found = [*table(parts, "jobs").values(), parts.get("runs")]
    yield from (job for job in found if isinstance(job, dict))


def _build(path: str, values: Mapping[str, str], meta: Mapping[str, str]) -> Iterator[Build]:
    # Without a context the action takes the repository of the event. `{{defaultContext}}` is its root.
    context = inside("", re.sub(r"^\{\{defaultContext\}\}:?", "", values.get("context") or ".") or ".")
    file = values.get("file")
    dockerfile = None if context is None else inside("", file) if file else inside(context, "Dockerfile")
    if context is not None and dockerfile is not None:
        lines = (line.strip().partition("=") for line in values.get("build-args", "").splitlines())
        args = {name: value for name, equals, value in lines if equals and UNKNOWN not in name}
        named = meta.get("images", "") if meta else values.get("tags", "")
        tags = tuple(word.strip() for line in named.splitlines() for word in line.split(","))
        yield Build(
            dockerfile,
            context,
            values.get("target") or None,
            args,
            path,
            tags=tuple(filter(None, tags)),
            rules=tuple(filter(None, map(str.strip, meta.get("tags", "").splitlines()))) or (DEFAULT if meta else ()),
            platforms=tuple(filter(None, (one.strip() for one in re.split(r"[,\n]", values.get("platforms", ""))))),
            pushed=values.get("push", "false") != "false",
        )


def _matrix(strategy: Any) -> list[dict[str, Any]]:
    """The combinations of a job's matrix that are written there; one empty one for a job without."""
    matrix = strategy.get("matrix") if isinstance(strategy, dict) else None
    if not isinstance(matrix, dict):
        return [{}]
    axes = {
        key: value for key, value in matrix.items() if isinstance(value, list) and key not in ("include", "exclude")
    }
    jobs = islice(product(*axes.values()), _MOST_JOBS) if axes else ()
    found = [dict(zip(axes, values, strict=True)) for values in jobs]
    included = matrix.get("include")
    more = [one for one in included if isinstance(one, dict)] if isinstance(included, list) else []
    return [*found, *more] or [{}]


def _value(value: Any, known: Mapping[str, Any]) -> str:
    """A text with what its expressions give, as far as the matrix and the variables say it."""

    def text(found: re.Match[str]) -> str:
        at: Any = known
        for name in found[1].split("."):
            at = at.get(name) if isinstance(at, dict) else None
        return str(at) if isinstance(at, str | int | float) and "${{" not in str(at) else UNKNOWN

    # Anything else may be written out much longer than it is in the file.
    return _EXPRESSION.sub(text, str(value)) if isinstance(value, str | int | float) else UNKNOWN
