"""The definitions of kinds (CRDs) in crds/ of a chart and its subcharts: helm installs them once, and never again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lineal.deploy.helm.chart_archive import unpack
from lineal.deploy.helm.objects import read_objects
from lineal.deploy.release import Chart
from lineal.errors import DeployFailed

_INSIDE = re.compile(r"(?:.*/)?crds/.*\.(?:ya?ml|json)")
_ARCHIVE = re.compile(r"(?:.*/)?charts/[^/]+\.tgz")
_DEEP = 8
"""Archives in archives that are looked into."""
_KIND = "CustomResourceDefinition"


def definitions(chart: Chart) -> list[tuple[dict[str, Any], str]]:
    """Each with the file of the commit that has it; empty for a file that is not in the commit."""
    path = Path(chart.location)
    if path.is_dir():
        texts = _in_directory(path, chart.name)
    else:
        texts = _in_archive(path.read_bytes(), _DEEP) if path.is_file() else iter(())
    return [(one, file) for text, file in texts for one in read_objects(text) if one.get("kind") == _KIND]


def _in_directory(root: Path, name: str) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if _INSIDE.fullmatch(relative) and path.is_file():
            yield path.read_text(errors="replace"), f"{name}/{relative}"
        elif path.suffix == ".tgz" and path.is_file():
            yield from _in_archive(path.read_bytes(), _DEEP)


def _in_archive(data: bytes, deep: int) -> Iterator[tuple[str, str]]:
    try:
        files = unpack(data, "")[1]
    except DeployFailed:
        return  # helm says what is wrong with it
    for file, content in files.items():
        if _INSIDE.fullmatch(file):
            yield content.decode(errors="replace"), ""
        elif _ARCHIVE.fullmatch(file) and deep:
            yield from _in_archive(content, deep - 1)
