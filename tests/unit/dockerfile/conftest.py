"""The engine as an oracle; its absence is a failure, never a skip."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.unit.dockerfile.oracle import Docker


@pytest.fixture(scope="module")
def builder(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    found = Docker(tmp_path_factory.mktemp("context"))
    yield found
    found.close()
