"""The directory of the user for what a run can do without: fetched history first of all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Fetched history and the default store are in there."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or "/tmp", ".cache")  # noqa: S108, PTH118
    return Path(base) / "lineal"
