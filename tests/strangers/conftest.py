"""Fixtures of what strangers try."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project


@pytest.fixture
def fresh(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    """In no CI; nothing is committed, and nothing is in the store."""
    lineal.env |= NOWHERE
    return Project(repo, lineal, repository, tmp_path)
