"""Real lock services: git servers, etcd, an API server where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.fixtures import Cluster
from tests.unit.git import forge
from tests.unit.lock import parts


def clone(origin: servers.Repository, url: str, path: Path) -> dict[str, Any]:
    origin.git("clone", "--quiet", "--depth=1", "--no-tags", url, str(path))
    private = path.parent / f"{path.name}-private"
    return {"kind": "git", "clone": str(path), "private": str(private), "environ": dict(servers.GIT_ISOLATION)}


@pytest.fixture
def origin(tmp_path: Path) -> servers.Repository:
    """A bare repository with one commit, as a server has it."""
    work = servers.Repository.create(tmp_path / "work")
    work.write({"Dockerfile": "FROM scratch\n"})
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "srv" / "app.git"))
    return servers.Repository(tmp_path / "srv" / "app.git")


@pytest.fixture
def git_given(origin: servers.Repository, tmp_path: Path) -> dict[str, Any]:
    return clone(origin, f"file://{origin.path}", tmp_path / "clone")


@pytest.fixture
def http_given(origin: servers.Repository, tmp_path: Path) -> Iterator[dict[str, Any]]:
    origin.git("config", "http.receivepack", "true")
    with forge.serve(origin.path.parent) as server:
        yield clone(origin, f"{server.url}/app.git", tmp_path / "clone")


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with parts.etcd_server(tmp_path_factory.mktemp("etcd")) as (endpoint, _):
        yield endpoint


@pytest.fixture
def cluster(kubernetes: Cluster) -> Path:
    """A kubeconfig of a cluster that tests may write to."""
    return kubernetes.kubeconfig
