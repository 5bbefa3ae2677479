"""What Flux's own controllers do with what Lineal hands over, by the recipes of docs/handover.md."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import servers
from tests.built import needs
from tests.cluster.fixtures import Cluster
from tests.conftest import Lineal
from tests.controllers.parts import FLUX, Flux, flux, require
from tests.e2e.handover import LOGIN, Cosign, Followed, envs_of, gpg, image_of, objects, pgp_key, publish, shop_in
from tests.e2e.parts import Project

pytestmark = [pytest.mark.long, pytest.mark.helm]
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    require(*FLUX)


@pytest.fixture(scope="module")
def controllers(kubernetes: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    with flux(kubernetes, tmp_path_factory.mktemp("flux")) as running:
        yield running


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    return shop_in(repo, lineal, repository, tmp_path)


def recipe_in(name: str, namespaces: dict[str, str]) -> dict[str, Any]:
    """The objects of a recipe in namespaces of a test's own."""
    found = copy.deepcopy(objects(name))
    for one in found.values():
        one["metadata"]["namespace"] = namespaces[one["metadata"]["namespace"]]
    return found


def secret(namespace: str, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}


def space(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@needs("cosign")
def test_flux_installs_the_latest_bundle_that_the_key_has_signed(
    shop: Project, controllers: Flux, namespace: str, tmp_path: Path
) -> None:
    ours, stranger = Cosign.with_key(tmp_path / "ours"), Cosign.with_key(tmp_path / "stranger")
    found = recipe_in("flux-oci.yaml", {"shop": namespace})
    source = found["OCIRepository"]["spec"]
    source["url"] = source["url"].replace("registry.example.com/team/shop", shop.store)
    # The registry of the tests has no encryption.
    source["insecure"] = True
    key = secret(namespace, source["verify"]["secretRef"]["name"], {"cosign.pub": ours.public})

    def deployed() -> str:
        return controllers.image(namespace)

    def asked() -> dict[str, Any]:
        return controllers.reconcile("ocirepositories", namespace, "shop")

    def revision() -> str:
        return str(controllers.get("ocirepositories", namespace, "shop")["status"]["artifact"]["revision"])

    signed = publish(shop)
    ours.sign(signed)
    controllers.apply(space(namespace), key, *found.values())
    controllers.until_ready("helmreleases", namespace, "shop")
    assert deployed() == image_of(shop)
    assert controllers.get("deployments", namespace, "shop")["spec"]["replicas"] == 3
    assert revision() == signed.removeprefix(f"oci://{shop.store}/shop:")

    # A later one is signed with a key that Flux does not know, then has the signature of the one before.
    before = image_of(shop)
    shop.repo.write({"file": "two\n"})
    later = publish(shop)
    for signed_by in ("nobody", "a stranger", "a copy"):
        if signed_by == "a stranger":
            stranger.sign(later)
        elif signed_by == "a copy":
            copy_signature(shop.store, signed, later)
        condition = asked()
        assert (condition["status"], condition["reason"]) == ("False", "VerificationError"), condition
        assert (revision(), deployed()) == (signed.removeprefix(f"oci://{shop.store}/shop:"), before)

    def until_rolled() -> None:
        wanted = image_of(shop)
        assert asked()["status"] == "True" and wanted != deployed()
        controllers.until(lambda: deployed() == wanted, deployed)
        controllers.until_ready("helmreleases", namespace, "shop")

    ours.sign(later)
    until_rolled()
    # A run that has the key signs by itself.
    shop.repo.write({"file": "three\n"})
    publish(shop, ours.signing)
    until_rolled()


def copy_signature(store: str, source: str, target: str) -> None:
    """What whoever may push can do: the list of signatures of one bundle beside another."""
    host, _, path = f"{store}/shop".partition("/")

    def url(reference: str) -> str:
        return f"http://{host}/v2/{path}/manifests/{reference.rpartition('@')[2].replace(':', '-')}"

    kind = "application/vnd.oci.image.index.v1+json"
    listed = requests.get(url(source), headers={"Accept": kind}, timeout=300)
    assert listed.ok and json.loads(listed.content)["manifests"]
    assert requests.put(url(target), listed.content, headers={"Content-Type": kind}, timeout=300).ok


@dataclass(frozen=True)
class FollowedByFlux(Followed):
    """Flux's own objects are in `system`."""

    controllers: Flux
    system: str

    @property
    def fetched(self) -> str:
        found = self.controllers.get("gitrepositories", self.system, "envs")
        return str(found["status"]["artifact"]["revision"])

    def fetch(self) -> dict[str, Any]:
        """The condition after Flux has looked at the branch."""
        return self.controllers.reconcile("gitrepositories", self.system, "envs")

    def until_rolled(self) -> None:
        wanted = image_of(self.envs.shop)
        assert self.fetch()["status"] == "True"
        self.controllers.until(lambda: self.image == wanted, lambda: self.image)
        self.controllers.until_ready("kustomizations", self.system, "shop")


@pytest.fixture(params=["pgp", "ssh"])
def followed(
    request: pytest.FixtureRequest, shop: Project, controllers: Flux, namespace: str, tmp_path: Path
) -> Iterator[FollowedByFlux]:
    """A first commit is applied."""
    system = f"{namespace}-flux"
    found = recipe_in("flux-git.yaml", {"flux-system": system})
    source = found["GitRepository"]["spec"]
    config = (shop.repo.path / "lineal.yaml").read_text().replace("namespace: shop", f"namespace: {namespace}")
    shop.repo.write({"lineal.yaml": config})
    with signer(request.param, tmp_path) as (private, public), envs_of(shop, private, "Flux", tmp_path) as envs:
        source["url"] = envs.url
        envs.commit()
        login = {"username": LOGIN[0], "password": LOGIN[1], "ca.crt": envs.authority.read_text()}
        controllers.apply(
            space(system), secret(system, source["secretRef"]["name"], login),
            secret(system, source["verify"]["secretRef"]["name"], public), *found.values(),
        )  # fmt: skip
        controllers.until_ready("kustomizations", system, "shop")
        yield FollowedByFlux(envs, controllers, namespace, system)


@contextmanager
def signer(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """LINEAL_GIT_SIGNING_KEY, and what the Secret of Flux holds of it."""
    if kind == "pgp":
        with pgp_key(folder / "gnupg") as env:
            yield env["LINEAL_GIT_SIGNING_KEY"], {"robot.asc": gpg(env, "--armor", "--export")}
        return
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "signer"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    yield (folder / "signer").read_text(), {"robot.sshpub": (folder / "signer.pub").read_text()}


def test_flux_applies_each_commit_that_the_key_has_signed(followed: FollowedByFlux) -> None:
    first = followed.image
    assert first == image_of(followed.envs.shop)
    assert followed.controllers.cluster.client.list("jobs", followed.namespace) == []
    followed.envs.commit({"chart/templates/more.yaml": CONFIG})
    followed.until_rolled()
    assert followed.image != first
    assert "settings" in followed.configs()
    # What is not rendered any more goes.
    followed.envs.commit({"chart/templates/more.yaml": None})
    followed.until_rolled()
    followed.controllers.until(lambda: "settings" not in followed.configs(), followed.configs)


def test_flux_applies_nothing_of_a_stranger_who_may_push(followed: FollowedByFlux, tmp_path: Path) -> None:
    genuine, image = followed.fetched, followed.image
    clone = followed.envs.clone(tmp_path / "stranger")
    folder = clone.path / "envs/prod"
    deployment = (folder / "deployment-shop.yaml").read_text()
    clone.write({
        "envs/prod/deployment-shop.yaml": deployment.replace(image, "evil.example.com/shop"),
        "envs/prod/evil.yaml": CONFIG.replace("name: settings", f"name: evil, namespace: {followed.namespace}"),
        "envs/prod/kustomization.yaml": (folder / "kustomization.yaml").read_text() + "- evil.yaml\n",
    })  # fmt: skip
    clone.git("push", "--quiet", "origin", "main")
    condition = followed.fetch()
    assert (condition["status"], condition["reason"]) == ("False", "InvalidCommitSignature"), condition
    assert (followed.fetched, followed.image) == (genuine, image)
    # Flux verifies the last commit alone: the next one of Lineal leaves nothing of the stranger's to be applied.
    followed.envs.commit()
    followed.until_rolled()
    assert "evil" not in followed.configs()
