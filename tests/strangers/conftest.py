"""Fixtures of what strangers try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.cluster.fixtures import Cluster
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.strangers.shop import Running, started


@pytest.fixture
def fresh(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    """In no CI; nothing is committed, and nothing is in the store."""
    lineal.env |= NOWHERE
    return Project(repo, lineal, repository, tmp_path)


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, kubernetes: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The cases of the module, `RUNS`, each with a helm: begun."""
    with started(request, kubernetes, tmp_path_factory, request.module.RUNS) as futures:
        yield futures
