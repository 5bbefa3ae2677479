"""What Argo CD itself does with what Lineal hands over, by the recipes of docs/handover.md."""

from __future__ import annotations

import copy
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.cluster.fixtures import Cluster
from tests.conftest import Lineal
from tests.controllers.argocd import Argo, argo
from tests.controllers.parts import require
from tests.e2e.handover import LOGIN, Followed, envs_of, gpg, image_of, objects, pgp_key, publish, shop_in
from tests.e2e.loopback import forward
from tests.e2e.parts import Project
from tests.gitlab.tls import certificates

pytestmark = [pytest.mark.long, pytest.mark.helm]
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    require("argocd", "kustomize", machine=["redis-server", "gpg"])


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of gpg with the key of the pipeline."""
    with pgp_key(tmp_path_factory.mktemp("robot") / "gnupg") as env:
        yield env


def key_id(env: dict[str, str]) -> str:
    listed = gpg(env, "--with-colons", "--list-keys")
    return next(line.split(":")[4] for line in listed.splitlines() if line.startswith("pub:"))


@pytest.fixture(scope="module")
def controllers(
    kubernetes: Cluster, robot: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Argo]:
    keys = {key_id(robot): gpg(robot, "--armor", "--export")}
    with argo(kubernetes, tmp_path_factory.mktemp("argo"), keys) as running:
        yield running


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    return shop_in(repo, lineal, repository, tmp_path)


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return certificates(tmp_path / "tls")


@contextmanager
def encrypted(registry: str, tls: Path) -> Iterator[str]:
    """The address of the registry by https: Argo CD has charts from no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as plain, context.wrap_socket(plain, server_side=True) as listener:
        host, _, port = registry.partition(":")
        there = (host, int(port))
        threading.Thread(
            target=forward, args=(listener, lambda: socket.create_connection(there)), daemon=True
        ).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def application(name: str, namespace: str) -> dict[str, dict[str, Any]]:
    """The objects of a recipe, with the names of a test's own."""
    found = copy.deepcopy(objects(name))
    for one in found.values():
        one["metadata"]["name"] = namespace
    found["Application"]["spec"]["destination"]["namespace"] = namespace
    return found


def test_argo_installs_the_latest_bundle(
    shop: Project, controllers: Argo, namespace: str, registry: str, tls: Path
) -> None:
    publish(shop)
    with encrypted(registry, tls) as host:
        (found,) = application("argo-oci.yaml", namespace).values()
        source = found["spec"]["source"]
        assert shop.store.startswith(registry)
        source["repoURL"] = source["repoURL"].replace(
            "registry.example.com/team/shop", host + shop.store[len(registry) :]
        )
        about = {"type": "helm", "enableOCI": "true", "url": source["repoURL"], "insecure": "true"}
        controllers.apply(controllers.repository(namespace, about), found)
        controllers.until_synced(namespace)
        first = image_of(shop)
        assert controllers.image(namespace) == first
        assert controllers.get("deployments", namespace, "shop")["spec"]["replicas"] == 3
        # The hook is one of Argo CD, too.
        assert controllers.get("jobs", namespace, "migrate")["status"]["succeeded"] == 1

        shop.repo.write({"file": "two\n"})
        version = publish(shop).rpartition("@")[0].rpartition(":")[2]
        wanted = image_of(shop)
        controllers.refresh(namespace)
        controllers.until(lambda: controllers.image(namespace) == wanted, lambda: controllers.status(namespace))
        controllers.until_synced(namespace)
        assert controllers.status(namespace)["sync"]["revision"] == version and wanted != first


@dataclass(frozen=True)
class FollowedByArgo(Followed):
    """Application, project and namespace have one name."""

    controllers: Argo

    def until_rolled(self) -> None:
        wanted = image_of(self.envs.shop)
        self.controllers.refresh(self.namespace)
        self.controllers.until(lambda: self.image == wanted, lambda: self.controllers.status(self.namespace))
        self.controllers.until_synced(self.namespace)


@pytest.fixture
def followed(
    shop: Project, controllers: Argo, namespace: str, robot: dict[str, str], tmp_path: Path
) -> Iterator[FollowedByArgo]:
    """A first commit is synced."""
    found = application("argo-git.yaml", namespace)
    project, spec = found["AppProject"]["spec"], found["Application"]["spec"]
    with envs_of(shop, robot["LINEAL_GIT_SIGNING_KEY"], "Argo CD", tmp_path) as envs:
        project |= {"sourceRepos": [envs.url], "signatureKeys": [{"keyID": key_id(robot)}]}
        project["destinations"][0]["namespace"] = namespace
        spec["project"], spec["source"]["repoURL"] = namespace, envs.url
        about = {"type": "git", "url": envs.url, "username": LOGIN[0], "password": LOGIN[1], "insecure": "true"}
        envs.commit()
        controllers.apply(controllers.repository(namespace, about), *found.values())
        controllers.until_synced(namespace)
        yield FollowedByArgo(envs, controllers, namespace)


def test_argo_applies_each_commit_that_the_key_has_signed(followed: FollowedByArgo) -> None:
    first = followed.image
    assert first == image_of(followed.envs.shop)
    assert followed.controllers.get("jobs", followed.namespace, "migrate")["status"]["succeeded"] == 1
    followed.envs.commit({"chart/templates/more.yaml": CONFIG})
    followed.until_rolled()
    assert followed.image != first
    assert "settings" in followed.configs()
    # What is not rendered any more goes.
    followed.envs.commit({"chart/templates/more.yaml": None})
    followed.until_rolled()
    followed.controllers.until(
        lambda: "settings" not in followed.configs(), lambda: followed.controllers.status(followed.namespace)
    )


def test_argo_applies_nothing_of_a_stranger_who_may_push(followed: FollowedByArgo, tmp_path: Path) -> None:
    image = followed.image
    clone = followed.envs.clone(tmp_path / "stranger")
    folder = clone.path / "envs/prod"
    deployment = (folder / "deployment-shop.yaml").read_text()
    clone.write({
        "envs/prod/deployment-shop.yaml": deployment.replace(image, "evil.example.com/shop"),
        "envs/prod/evil.yaml": CONFIG.replace("name: settings", "name: evil"),
        "envs/prod/kustomization.yaml": (folder / "kustomization.yaml").read_text() + "- evil.yaml\n",
    })  # fmt: skip
    clone.git("push", "--quiet", "origin", "main")
    told = [one["message"] for one in followed.controllers.refresh(followed.namespace).get("conditions", [])]
    assert any("is not signed" in message for message in told), told
    assert followed.image == image and "evil" not in followed.configs()
    # Argo CD verifies the last commit alone: the next one of Lineal leaves nothing of the stranger's to be applied.
    followed.envs.commit()
    followed.until_rolled()
    assert "evil" not in followed.configs()


def test_nothing_is_signed_beside_what_makes_argo_read_the_folder_in_another_way(
    followed: FollowedByArgo, tmp_path: Path
) -> None:
    image = followed.image
    clone = followed.envs.clone(tmp_path / "stranger")
    for name in (".argocd-source.yaml", "zChart.yaml"):
        clone.write({
            f"envs/prod/{name}": "kustomize: {images: ['x=evil.example.com/shop']}\n",
            "envs/prod/templates/evil.yaml": CONFIG.replace("name: settings", "name: evil"),
        })  # fmt: skip
        clone.git("push", "--quiet", "origin", "main")
        said = followed.envs.commit(code=3).error
        assert f"`envs/prod/{name}` of the branch was not written by `lineal render`" in said
        followed.controllers.refresh(followed.namespace)
        assert followed.image == image and "evil" not in followed.configs()
        clone.write({f"envs/prod/{name}": None})
    clone.git("push", "--quiet", "origin", "main")
    followed.envs.commit()
    followed.until_rolled()
    assert "evil" not in followed.configs()
