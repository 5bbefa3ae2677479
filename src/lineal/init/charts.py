"""The charts of a repository that a release can be made of."""

from __future__ import annotations

from posixpath import dirname

import yaml

from lineal.init.files import Files


def charts(files: Files) -> list[str]:
    """The folders of charts, without libraries and without those inside of another chart."""
    found: list[str] = []
    for path in sorted(path for path in files.files if path == "Chart.yaml" or path.endswith("/Chart.yaml")):
        folder = dirname(path) or "."
        inner = any(one == "." or folder.startswith(f"{one}/") for one in found)
        if not inner and not _is_library(files.text(path) or ""):
            found.append(folder)
    return found


def _is_library(text: str) -> bool:
    try:
        chart = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return True
    return not isinstance(chart, dict) or chart.get("type") == "library"
