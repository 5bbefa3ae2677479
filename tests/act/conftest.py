"""Fixtures of the tests that run workflows with act."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests import servers
from tests.act.runner import Act, shop
from tests.runner import image
from tests.tools import kube


@pytest.fixture(scope="session")
def lineal_images(engine: docker.DockerClient) -> tuple[str, str]:
    """The one with Helm, and the one for builds."""
    try:
        return image.ready().name, image.ready(image.BUILD).name
    except image.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def cluster() -> Iterator[kube.Cluster]:
    running = kube.Cluster()
    yield running
    running.close()


@pytest.fixture
def act(
    repo: servers.Repository, repository: str, lineal_images: tuple[str, str], cluster: kube.Cluster, tmp_path: Path
) -> Act:
    """The shop on GitHub, without a workflow."""
    shop(repo)
    return Act(repo, repository, *lineal_images, tmp_path / "act", {"KUBECONFIG": cluster.kubeconfig()})
