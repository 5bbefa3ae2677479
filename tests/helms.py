"""Which Helm a test deploys with. Both where they differ: in tests/unit/deploy and tests/strangers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

HELMS = ("helm3", "helm4")
HELM4_SOONER = (pytest.param("helm3", marks=pytest.mark.long), "helm4")
"""For what is Lineal's own: `make test-long` does it with Helm 3, too."""
helm4_sooner = pytest.mark.parametrize("helm", HELM4_SOONER, indirect=True)


def sooner_after(both: int, cases: Sequence[tuple[object, ...]]) -> list[Any]:
    """The first cases with both Helms; the others, where Helm has the same part again, with Helm 4 sooner. For
    `parametrize("helm,…", …, indirect=["helm"])`."""
    return [
        pytest.param(name, *case, marks=[pytest.mark.long] if number >= both and name == "helm3" else [])
        for number, case in enumerate(cases)
        for name in HELMS
    ]
