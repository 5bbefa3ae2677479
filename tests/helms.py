"""Which Helm a test deploys with. Both where they differ: in tests/unit/deploy and tests/strangers."""

from __future__ import annotations

import pytest

HELMS = ("helm3", "helm4")
HELM4_SOONER = (pytest.param("helm3", marks=pytest.mark.long), "helm4")
"""For what is Lineal's own: `make test-long` does it with Helm 3, too."""
