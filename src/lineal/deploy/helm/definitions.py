"""The definitions of kinds (CRDs) in crds/ of a chart and its subcharts: helm installs them once, and never again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lineal.deploy.helm.chart_archive import unpack
from lineal.deploy.helm.client import BEFORE_CHANGES, Helm
from lineal.deploy.helm.objects import read_objects
from lineal.deploy.release import Release

_LIMIT = 120.0
_INSIDE = re.compile(r"(?:.*/)?crds/.*\.(?:ya?ml|json)")


_KIND = "CustomResourceDefinition"


def definitions(helm: Helm, release: Release) -> list[tuple[dict[str, Any], str]]:
    """Each with the file of the commit that has it; empty for a file that is not in the commit."""
    chart = release.chart
    texts = _in_directory(Path(chart.location), chart.name) if chart.is_directory else _shown(helm, release)
    return [(one, file) for text, file in texts for one in read_objects(text) if one.get("kind") == _KIND]


def _in_directory(root: Path, name: str) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if _INSIDE.fullmatch(relative) and path.is_file():
            yield path.read_text(errors="replace"), f"{name}/{relative}"
        elif path.suffix == ".tgz" and path.is_file():
            files = unpack(path.read_bytes(), f"{name}/{relative}")[1]
            yield from (
                (data.decode(errors="replace"), "") for file, data in files.items() if _INSIDE.fullmatch(file)
            )


def _shown(helm: Helm, release: Release) -> Iterator[tuple[str, str]]:
    flags = ["--plain-http"] if release.plain_http else []
    answer = helm.run(["show", "crds", *flags, "--", release.chart.location], limit=_LIMIT)
    answer.or_interrupted(f"Reading {release}", BEFORE_CHANGES)
    # Helm 3 prints one after the other, with nothing between them.
    yield re.sub(r"^(?=apiVersion:)", "---\n", answer.stdout if answer.code == 0 else "", flags=re.MULTILINE), ""
