"""Fixtures of the end-to-end tests: projects in git with a store that nobody has used yet."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e import parts
from tests.e2e.parts import Project

NewEngine = Callable[[], dict[str, str]]


@pytest.fixture(scope="session")
def start_engine() -> Iterator[NewEngine]:
    with ExitStack() as running:

        def start() -> dict[str, str]:
            # Not pytest's directory: the path of a socket may have 107 characters only.
            scratch = running.enter_context(tempfile.TemporaryDirectory(prefix="e2e-", ignore_cleanup_errors=True))
            return running.enter_context(parts.docker_engine(Path(scratch)))

        yield start


@pytest.fixture(scope="session")
def machine(start_engine: NewEngine, engine: docker.DockerClient) -> dict[str, str]:
    """The environment of this session's machine: an engine of its own, so that nothing is left in the user's and
    nobody else's images are in it. Who is not root has the one engine there is."""
    return start_engine() if os.geteuid() == 0 else {}


@pytest.fixture
def new_engine(start_engine: NewEngine) -> NewEngine:
    """Starts a Docker Engine without any image, as a throw-away runner has it; gives the environment to use it."""
    if os.geteuid() != 0:
        pytest.skip("Only root can start a second Docker Engine.")
    return start_engine


@pytest.fixture
def mark() -> str:
    """A word that no other test uses: a file with it below a RUN makes a parent that no engine has seen."""
    return secrets.token_hex(8)


@pytest.fixture
def project(
    repo: servers.Repository, lineal: Lineal, repository: str, machine: dict[str, str], tmp_path: Path
) -> Project:
    """An empty git repository, and a fresh repository of the registry as its store."""
    lineal.env.update(machine)
    return Project(repo, lineal, repository, tmp_path)


@pytest.fixture
def layout(repo: servers.Repository, lineal: Lineal, machine: dict[str, str], tmp_path: Path) -> Project:
    """The same with a directory as its store."""
    lineal.env.update(machine)
    return Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
