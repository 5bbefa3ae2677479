"""The directories of the user in which Lineal keeps what outlives a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where Lineal keeps what it can do without: the default store, fetched history."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or "/tmp", ".cache")  # noqa: S108, PTH118
    return Path(base) / "lineal"


def config_directory(environ: Mapping[str, str]) -> Path | None:
    """Where Lineal keeps what the user decided; None for a user without a home."""
    if not environ.get("XDG_CONFIG_HOME") and not environ.get("HOME"):
        return None
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ["HOME"], ".config"), "lineal")
