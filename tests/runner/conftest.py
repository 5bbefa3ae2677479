"""Fixtures of the runner's tests: the built image, and a forge, a registry and a cluster that a container reaches."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers
from tests.runner.image import Unavailable, ready
from tests.runner.runner import DOCKER, TOKEN, Event, Runner, payload
from tests.unit.git.forge import Forge, serve

NAME = "Codertocat/Hello-World"


@pytest.fixture(scope="session")
def action_image() -> str:
    """The name of the built image in the engine."""
    try:
        return ready().name
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def gateway() -> str:
    return bridge_gateway()


def bridge_gateway() -> str:
    """The address under which containers of the default bridge reach this machine."""
    done = subprocess.run([DOCKER, "network", "inspect", "bridge"], capture_output=True, text=True, check=True).stdout
    config = json.loads(done)[0]["IPAM"]["Config"][0]
    # An engine that has just made its bridge does not name the gateway (moby 20.10); it is the first address.
    address = config.get("Gateway") or str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
    return str(ipaddress.ip_address(address))


@dataclass
class World:
    """A repository on a forge with a password, and a registry, both reached from containers."""

    bare: Path
    repo: servers.Repository
    forge: Forge
    registry: str
    image: str
    work: Path

    def __post_init__(self) -> None:
        self.runners = 0

    def push(self, *refs: str) -> None:
        self.repo.git("push", "--quiet", "--force", str(self.bare), *refs)

    def event(self, name: str, ref: str, about: str = "", **more: str) -> Event:
        """What happens on a ref, by default with its commit; `about` names the payload."""
        sha = self.repo.git("rev-parse", f"{ref}^{{commit}}")
        found = payload(about or name)
        found["repository"] = {"full_name": NAME}
        return Event(name, ref, sha, found, dict(more))

    def runner(self, event: Event, depth: int = 1) -> Runner:
        """A fresh one, with the commit of the event checked out."""
        self.runners += 1
        runner = Runner(self.work / f"runner-{self.runners}", self.image, self.forge.url)
        runner.env = {"LINEAL_REPO": self.store, "LINEAL_INSECURE_REGISTRY": self.registry}
        runner.checkout(self.bare, f"{self.forge.url}/{NAME}", event, depth)
        return runner

    @property
    def store(self) -> str:
        return f"{self.registry}/{self.work.name.lower()}/shop"


@pytest.fixture(scope="session")
def shared_registry(gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address = f"{gateway}:{servers.free_port(gateway)}"
    with servers.docker_registry(tmp_path_factory.mktemp("registry"), address=address):
        servers.push_base_image(f"{address}/base:1", tmp_path_factory.mktemp("base"))
        yield address


@pytest.fixture
def world(tmp_path: Path, action_image: str, gateway: str, shared_registry: str) -> Iterator[World]:
    """With one commit on main: a Dockerfile without lineal.yaml."""
    work = tmp_path / f"w{tmp_path.name}".replace("_", "").lower()
    bare = tmp_path / "forge" / NAME
    origin = servers.Repository.create(bare, "--bare")
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        origin.git("config", key, "true")
    repo = servers.Repository.create(tmp_path / "repo")
    with serve(tmp_path / "forge", ("x-access-token", TOKEN), gateway) as forge:
        world = World(bare, repo, forge, shared_registry, action_image, work)
        repo.write({"Dockerfile": DOCKERFILE.format(base=f"{shared_registry}/base:1"), "hello": "1\n"})
        world.push("main")
        yield world


DOCKERFILE = "FROM {base}\nCOPY hello /\nRUN cat /hello > /built\n"
