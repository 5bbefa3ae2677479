"""Programs of others that `make` builds for tests which need them, and CI always."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test"


COSIGN = CACHE / "cosign" / "cosign"


def needs(target: str) -> pytest.MarkDecorator:
    """Skips tests where `make TARGET` has built nothing; with LINEAL_REQUIRE_<TARGET> they run, and fail."""
    there = (CACHE / target / "stamp").exists() or os.environ.get(f"LINEAL_REQUIRE_{target.upper()}")
    return pytest.mark.skipif(not there, reason=f"there is no {target}: make {target} builds it")
