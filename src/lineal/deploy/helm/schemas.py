"""The schemas of a chart's values: helm would fetch what they refer to, from the web and from this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lineal.deploy.helm.chart_archive import unpack
from lineal.deploy.release import Chart
from lineal.errors import BadConfiguration, DeployFailed, Location
from lineal.text import quoted

_SCHEMA = re.compile(r"(charts/[^/]+/)*values\.schema\.json")
_ARCHIVE = re.compile(r"(charts/[^/]+/)*charts/[^/]+\.tgz")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DRAFTS = re.compile(r"https?://json-schema\.org/[A-Za-z0-9/_-]*#?")
"""The meta-schemas that helm has in itself."""
_DEEP = 8
"""Archives in archives that are looked into."""


def check(chart: Chart) -> None:
    """Raises `BadConfiguration` for a schema of the chart, or of a chart in it, that refers to something else than
    itself. A chart that is not at hand is not looked at."""
    if chart.location.startswith("oci://"):
        return
    path = Path(chart.location)
    for name, data in _of_directory(path) if path.is_dir() else _of_archive(path.read_bytes(), "", _DEEP):
        reference = outside(data)
        if reference is not None:
            what = f"The schema refers to {quoted(reference)}, which is not in it: helm would fetch that."
            raise BadConfiguration(
                what, id="LN-6056", place=Location(f"{chart.name}/{name}"),
                remedy="Write it into the schema (`$defs`), or pass --skip-schema-validation.",
            )  # fmt: skip


def _of_directory(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if _SCHEMA.fullmatch(name) and path.is_file():
            yield name, path.read_bytes()
        elif _ARCHIVE.fullmatch(name) and path.is_file():
            yield from _of_archive(path.read_bytes(), f"{name}/", _DEEP)


def _of_archive(data: bytes, above: str, deep: int) -> Iterator[tuple[str, bytes]]:
    try:
        _, files = unpack(data, above)
    except DeployFailed:
        return  # helm says what is wrong with it
    for name, content in files.items():
        if _SCHEMA.fullmatch(name):
            yield above + name, content
        elif _ARCHIVE.fullmatch(name) and deep:
            yield from _of_archive(content, f"{above}{name}/", deep - 1)


def outside(data: bytes) -> str | None:
    """The first reference of a schema that leads out of it, None when there is none or the text is no JSON."""
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.extend(found)  # with those that stand twice
        return dict(found)

    try:
        json.loads(data, object_pairs_hook=keep)
    except RecursionError:
        return "more levels than can be read"
    except ValueError:
        return None
    for key, value in pairs:
        leads = key in _REFERENCES and isinstance(value, str) and value and not value.startswith("#")
        if leads or (key == "$schema" and isinstance(value, str) and not _DRAFTS.fullmatch(value)):
            return str(value)
    return None
