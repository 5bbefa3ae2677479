"""Fixtures that all tests share; the real parts behind them are in servers.py."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE, CalledProcessError, Popen, TimeoutExpired
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import forks, servers
from tests.forks import Result

if TYPE_CHECKING:
    import docker

pytest_plugins = ["tests.cluster.fixtures", "tests.scheduling"]

# One answer for one commit: the same examples each time. `make fuzz` searches with new ones (tests/fuzz.py).
settings.register_profile("tests", derandomize=True, database=None, deadline=None)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("tests")

# Most servers and programs of the tests are written in Go. Processors are scarcer here than memory.
os.environ.setdefault("GOGC", "400")

# Folders of tests, and what `tempfile` makes here. Not for what is tested: each run of Lineal has an environment of
# its own.
if memory := servers.in_memory(8):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)
    tempfile.tempdir = memory

# A shell starts what runs in the background with Ctrl-C ignored, which every child would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: nobody looks for garbage in it, now or later."""
    gc.disable()
    done = yield
    gc.freeze()
    gc.enable()
    return done


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of cases never hold bytes: what is made while collecting may differ by the second (a gzip header), and
    xdist then refuses to run at all."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A command that fails in a test or a fixture says what it said: `subprocess` keeps that to itself."""
    error = call.excinfo.value if call.excinfo else None
    while error is not None:
        if isinstance(error, CalledProcessError | TimeoutExpired) and (said := servers.said(error)):
            error.add_note(said)
        error = error.__cause__ or error.__context__
    return (yield)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`127.0.0.1:PORT` of a docker-registry of this test process."""
    with servers.docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def auth_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same behind basic authentication: `servers.USER`, `servers.PASSWORD`."""
    with servers.docker_registry(tmp_path_factory.mktemp("auth-registry"), servers.HTPASSWD) as address:
        yield address


@pytest.fixture
def repository(registry: str) -> str:
    """The name of a repository that nobody has used yet."""
    return f"{registry}/test-{secrets.token_hex(6)}/app"


@pytest.fixture(scope="session")
def base_image(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference of a small base image with a shell, see `servers.push_base_image`."""
    return servers.push_base_image(f"{registry}/base:1", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the Docker Engine; its absence is a failure, never a skip."""
    import docker

    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        pytest.fail(f"No Docker Engine answers: run `scripts/engine start` and try again. ({error})", pytrace=False)
    yield client
    client.close()


@pytest.fixture
def repo(tmp_path: Path) -> servers.Repository:
    """An empty git repository in `tmp_path / "repo"`, on branch main."""
    return servers.Repository.create(tmp_path / "repo")


@dataclass(slots=True)
class Lineal:
    """Runs `lineal` as a user or a CI would: another process, an environment with nothing left over."""

    cwd: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)
    """Environment for every run; `env=` of a run comes on top."""

    def __call__(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300
    ) -> Result:
        return forks.run(*args, cwd=cwd or self.cwd, env=self.environment() | dict(env or {}), timeout=timeout)

    def start(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Popen[str]:
        """A run that goes on while the test does something else, or that needs an interpreter of its own; its streams
        are pipes."""
        return Popen(
            [sys.executable, "-m", "lineal", *args],
            cwd=cwd or self.cwd,
            env=self.environment() | dict(env or {}),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST", "LANG", "GOGC") if name in os.environ}
        return kept | servers.GIT_ISOLATION | {"HOME": str(self.home), "COLUMNS": "160"} | self.env


@pytest.fixture
def lineal(repo: servers.Repository, tmp_path: Path) -> Lineal:
    """Runs Lineal in `repo`: `lineal("build", "--report", "r.json").code`."""
    (tmp_path / "home").mkdir()
    return Lineal(repo.path, tmp_path / "home")
