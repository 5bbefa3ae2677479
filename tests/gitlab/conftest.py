"""A shop on a GitLab with the component, a registry that wants a password, an engine behind TLS and a cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from tests import servers
from tests.differential import buildkit
from tests.gitlab import tls
from tests.gitlab.runner import Project
from tests.tools import kube

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/ci"
VERSION = "0.1.0"


@pytest.fixture(scope="session")
def component(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The component's repository with the tag of its version, published from this one by scripts/component."""
    whole = servers.Repository.create(tmp_path_factory.mktemp("lineal") / "repo")
    shutil.copytree(ROOT / "gitlab-ci", whole.path / "gitlab-ci")
    script = (ROOT / "scripts/component").read_text()
    whole.write({"README.md": "The rest of the repository.\n", "scripts/component": script})
    whole.git("tag", f"v{VERSION}")
    bare = whole.path.with_name("lineal.git")
    whole.git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    environ = os.environ | whole.environment() | {"GITLAB_TOKEN": "none is needed"}
    publish = ["scripts/component", VERSION, f"file://{bare}"]
    done = subprocess.run(publish, cwd=whole.path, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return bare


@pytest.fixture(scope="session")
def door(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tls.Door, Path]]:
    """The engine as docker:dind offers it, and the folder with the certificates."""
    folder = tls.certificates(tmp_path_factory.mktemp("tls") / "client")
    running = tls.Door(folder, os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    yield running, folder
    running.close()


@pytest.fixture
def buildkitd(auth_registry: str) -> Iterator[str]:
    """The address of what the service `buildkit` would be."""
    if buildkit.missing():
        pytest.skip(buildkit.missing())
    address = f"tcp://127.0.0.1:{servers.free_port()}"
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=buildkit.fast(), ignore_cleanup_errors=True) as short,
        buildkit.buildkitd(Path(short), auth_registry, "--addr", address),
    ):
        yield address


@pytest.fixture
def cluster() -> Iterator[kube.Cluster]:
    running = kube.Cluster()
    yield running
    running.close()


@pytest.fixture
def kubeconfig(cluster: kube.Cluster, tmp_path: Path) -> Path:
    """As an agent's: a context for each, none of them chosen."""
    config = yaml.safe_load(cluster.kubeconfig())
    (context,) = config["contexts"]
    config["contexts"] = [{**context, "name": f"team/shop:{name}"} for name in ("production", "review")]
    del config["current-context"]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def variables(auth_registry: str, door: tuple[tls.Door, Path], kubeconfig: Path) -> dict[str, str]:
    """What the server and the project give every job: a registry for this test alone, the cluster, the engine."""
    entrance, certificates = door
    return {
        "CI_REGISTRY": auth_registry,
        "CI_REGISTRY_IMAGE": f"{auth_registry}/{secrets.token_hex(6)}/shop",
        "CI_REGISTRY_USER": servers.USER,
        "CI_REGISTRY_PASSWORD": servers.PASSWORD,
        "KUBECONFIG": str(kubeconfig),
        # The service of the job is not really there: this is what it would be.
        "DOCKER_HOST": f"tcp://127.0.0.1:{entrance.port}",
        "DOCKER_CERT_PATH": str(certificates),
        "DOCKER_TLS_VERIFY": "1",
    }


@pytest.fixture
def shop(repo: servers.Repository, component: Path, variables: dict[str, str], tmp_path: Path) -> Project:
    """examples/shop on main, with a registry of its own on the server. Its chart has one config map: the cluster in
    memory knows no deployments."""
    shutil.copytree(ROOT / "examples/shop", repo.path, dirs_exist_ok=True)
    shutil.copy(servers.program("busybox"), repo.path / "docker/busybox")
    shutil.rmtree(repo.path / "deploy/chart/templates")
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {image: {{ .Values.image | quote }}}\n"
    repo.write({"deploy/chart/templates/image.yaml": manifest}, "Open the shop")
    project = Project(repo, "team/shop", tmp_path / "home", variables)
    project.component(component)
    return project


@pytest.fixture
def own(repo: servers.Repository, component: Path, variables: dict[str, str], tmp_path: Path) -> Project:
    """The component's own project."""
    shutil.rmtree(repo.path)
    clone = servers.Repository(component).clone(repo.path)
    clone.git("remote", "remove", "origin")
    config = yaml.safe_load(Path(variables["KUBECONFIG"]).read_text())
    config["current-context"] = config["contexts"][0]["name"]
    Path(variables["KUBECONFIG"]).write_text(yaml.safe_dump(config))
    project = Project(clone, "projects/lineal", tmp_path / "home", variables)
    project.component(component)
    return project
