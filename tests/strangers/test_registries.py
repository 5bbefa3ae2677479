"""Registries with habits, from public reports: what a person who builds with them sees. The rest of them is in
tests/unit/store and tests/registries."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from lineal.store.registry.client import Registry
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.registries.faults import NoList
from tests.registries.proxy import Answer, Forward, Quirk, Request, proxy, refusal, serve
from tests.unit.store.conftest import manifest_of

UNREACHABLE = {"HTTPS_PROXY": "http://127.0.0.1:1"}
"""A network without Docker Hub."""


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, registry: str, tmp_path: Path) -> Project:
    lineal.env |= NOWHERE
    return Project(repo, lineal, f"{registry}/strangers-{secrets.token_hex(6)}/app", tmp_path)


@pytest.fixture
def hub_image(registry: str, tmp_path: Path) -> str:
    """The name of an image without a host that only a mirror of Docker Hub at `registry` has."""
    name = f"only-mirrored-{secrets.token_hex(6)}"
    store = Registry(registry, f"library/{name}", environ={"HOME": str(tmp_path)})
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    store.put_manifest(manifest_of(store, json.dumps(config)), "1")
    return f"{name}:1"


def test_a_base_of_docker_hub_comes_from_the_mirror_that_is_named(
    project: Project, registry: str, hub_image: str
) -> None:
    project.write(f"FROM {hub_image}\nCOPY Dockerfile /\n")
    mirrors = f"127.0.0.1:1\nhttp://{registry}"
    ran = project.build(env={**UNREACHABLE, "LINEAL_REGISTRY_MIRROR": mirrors})
    assert "COPY" in ran.made
    assert "The mirror 127.0.0.1:1 is passed over. 127.0.0.1:1 cannot be reached" in ran.stderr
    # What was taken over is asked for nowhere any more.
    assert project.build(env=UNREACHABLE).made == []


def test_a_base_of_docker_hub_comes_from_the_engine_s_mirror(project: Project, registry: str, hub_image: str) -> None:
    def engine(request: Request) -> Answer:
        info = {"RegistryConfig": {"Mirrors": [f"http://{registry}/"]}}
        said = {"ApiVersion": "1.43"} if request.path.endswith("/version") else info
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(said).encode())

    project.write(f"FROM {hub_image}\nCOPY Dockerfile /\n")
    with serve(engine) as host:
        ran = project.build(env={**UNREACHABLE, "DOCKER_HOST": f"tcp://{host}"})
    assert "COPY" in ran.made
    assert f"Images of Docker Hub come from {registry}, the Docker Engine's mirror." in ran.stderr


def test_a_limit_that_is_waited_for_is_a_line(project: Project, registry: str) -> None:
    class Limited(Quirk):
        """The first request is one too many."""

        left = 1

        def __call__(self, request: Request, forward: Forward) -> Answer:
            if self.left:
                self.left -= 1
                return refusal(403, "DENIED", "secondary rate limit", **{"Retry-After": "1"})
            return forward(request)

    project.write("FROM scratch\nCOPY Dockerfile /\n")
    with proxy(registry, Limited()) as server:
        ran = project.plan(store=f"{server.host}/limited-{secrets.token_hex(6)}")
        assert f"{server.host} limits how often it may be asked: asking again in 1 s." in ran.stderr


def test_a_robot_that_may_not_list_tags_is_told_the_right(project: Project, registry: str) -> None:
    project.write("FROM scratch\nCOPY Dockerfile /\n")
    login = {"LINEAL_REGISTRY_USERNAME": "robot", "LINEAL_REGISTRY_PASSWORD": "secret"}
    with proxy(registry, NoList()) as server:
        ran = project.build(code=5, store=f"{server.host}/robot-{secrets.token_hex(6)}", env=login)
    assert "LINEAL_REGISTRY_USERNAME list the tags of" in ran.error
    assert "ecr:ListImages" in ran.error


def test_a_base_for_another_processor_is_refused_with_its_line(
    project: Project, registry: str, tmp_path: Path
) -> None:
    name = f"arm-{secrets.token_hex(6)}"
    store = Registry(registry, name, environ={"HOME": str(tmp_path)})
    config = {"architecture": "arm64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    store.put_manifest(manifest_of(store, json.dumps(config)), "1")
    project.write(f"FROM {registry}/{name}:1\nCOPY Dockerfile /\n")
    error = project.build(code=5).error
    assert error.startswith(
        f"Dockerfile:1: The base image {registry}/{name}:1 is for linux/arm64, and linux/amd64 is"
    )
