"""The recipes of docs/handover.md: what Flux, Argo CD and compose do with what Lineal hands over, as far as their
parts are programs of this machine: Helm, git, cosign, kubectl, docker compose."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest
import yaml

from lineal.init.hcl import read as read_hcl
from tests import servers
from tests.built import needs
from tests.cluster.fixtures import Cluster
from tests.cluster.parts import kubectl
from tests.conftest import Lineal
from tests.controllers.parts import PROGRAMS
from tests.e2e.handover import Cosign, image_of, objects, options, pgp_key, publish, recipe, shop_in
from tests.e2e.parts import Project, Published


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path) -> Project:
    return shop_in(repo, lineal, repository, tmp_path)


def helm(shop: Project, *args: str) -> str:
    command = [shop.lineal.env["LINEAL_HELM"], *args]
    done = subprocess.run(command, capture_output=True, text=True, env=shop.lineal.environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.helm
def test_flux_and_argo_find_the_latest_chart_in_the_registry(shop: Project, tmp_path: Path) -> None:
    first = publish(shop)
    shop.repo.write({"file": "two\n"})
    latest = publish(shop)
    flux, argo = objects("flux-oci.yaml"), objects("argo-oci.yaml")["Application"]["spec"]["source"]
    host = "registry.example.com/team/shop"
    url, chart = flux["OCIRepository"]["spec"]["url"].replace(host, shop.store), argo["chart"]
    assert f"{argo['repoURL']}/{chart}" == f"{host}/{chart}" == flux["OCIRepository"]["spec"]["url"][6:]
    assert latest.startswith(f"{url}:") and first != latest
    wanted = flux["OCIRepository"]["spec"]["ref"]["semver"]
    assert argo["targetRevision"] == wanted
    # The one with the highest version, its layer by the type that Flux selects.
    version = yaml.safe_load(helm(shop, "show", "chart", url, "--version", wanted, "--plain-http"))["version"]
    assert version == latest.rpartition("@")[0].rpartition(":")[2]
    bundles = Published(f"{shop.store}/shop")
    types = [layer["mediaType"] for layer in bundles.json(bundles.tags()[version])["layers"]]
    assert types == [flux["OCIRepository"]["spec"]["layerSelector"]["mediaType"]]
    # Argo CD unpacks the archive and looks for the chart's name in it.
    helm(shop, "pull", url, "--version", wanted, "--plain-http", "--untar", "--untardir", str(tmp_path / "pulled"))
    assert (tmp_path / "pulled" / chart / "Chart.yaml").is_file()
    values = tmp_path / "values.yaml"
    for given in (flux["HelmRelease"]["spec"]["values"], argo["helm"]["valuesObject"]):
        values.write_text(yaml.safe_dump(given))
        rendered = helm(shop, "template", "shop", str(tmp_path / "pulled" / chart), "--values", str(values))
        deployment = next(one for one in yaml.safe_load_all(rendered) if one["kind"] == "Deployment")
        assert deployment["spec"]["replicas"] == 3
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image == image_of(shop)


@pytest.mark.helm
@needs("cosign")
def test_a_bundle_is_signed_and_verified(shop: Project, tmp_path: Path) -> None:
    cosign, reference = Cosign.with_key(tmp_path), publish(shop)
    cosign.sign(reference)
    cosign.verify(reference)
    shop.repo.write({"file": "two\n"})
    cosign.verify(publish(shop), code=1)


@pytest.mark.helm
@needs("cosign")
def test_a_bundle_of_a_run_with_the_key_is_signed_for_others(shop: Project, tmp_path: Path) -> None:
    cosign = Cosign.with_key(tmp_path)
    reference = publish(shop, cosign.signing)
    cosign.verify(reference)
    before = Published(f"{shop.store}/shop").tags()
    assert publish(shop, cosign.signing) == reference
    assert Published(f"{shop.store}/shop").tags() == before
    copied = shop.lineal("bundle", "copy", reference, f"{shop.store}-copy", env=cosign.signing)
    cosign.verify(copied.stdout.strip())
    copied = shop.lineal("bundle", "copy", reference, f"{shop.store}-unsigned")
    assert copied.code == 0
    cosign.verify(copied.stdout.strip(), code=1)


@pytest.fixture
def pgp(tmp_path: Path) -> Iterator[dict[str, str]]:
    with pgp_key(tmp_path / "gnupg") as env:
        yield env


def committed(shop: Project, pgp: Mapping[str, str], section: str, tmp_path: Path) -> Path:
    """The folder that a section's command commits, in a clone whose last commit's signature fits."""
    bare = servers.Repository.create(tmp_path / "envs.git", "--bare")
    words = [str(bare.path) if word.startswith("https://") else word for word in options("envs/prod", after=section)]
    shop.run("render", *words, env={"LINEAL_GIT_SIGNING_KEY": pgp["LINEAL_GIT_SIGNING_KEY"]})
    clone = bare.clone(tmp_path / "clone")
    checked = subprocess.run(["git", "verify-commit", "HEAD"], cwd=clone.path, env=dict(pgp), capture_output=True)
    assert checked.returncode == 0, checked.stderr
    return clone.path / "envs/prod"


@pytest.mark.helm
@pytest.mark.skipif(kubectl() is None, reason="there is no kubectl")
def test_flux_applies_what_is_in_git(
    shop: Project, pgp: dict[str, str], kubernetes: Cluster, namespace: str, tmp_path: Path
) -> None:
    found = objects("flux-git.yaml")
    assert found["GitRepository"]["spec"]["verify"]["mode"] == "HEAD"
    config = (shop.repo.path / "lineal.yaml").read_text().replace("namespace: shop", f"namespace: {namespace}")
    shop.repo.write({"lineal.yaml": config})
    folder = committed(shop, pgp, "Flux", tmp_path)
    assert f"./{folder.relative_to(tmp_path / 'clone')}" == found["Kustomization"]["spec"]["path"]
    command = ["apply", "--server-side", "--field-manager=kustomize-controller", "-k", str(folder)]
    # As Flux does, which applies namespaces before all else.
    for _ in range(2):
        done = subprocess.run(
            [str(kubectl()), "--kubeconfig", str(kubernetes.kubeconfig), *command], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    deployment = kubernetes.client.get("deployments", namespace, "shop")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == image_of(shop)
    assert kubernetes.client.list("jobs", namespace) == []


@pytest.mark.helm
def test_argo_reads_what_is_in_git(shop: Project, pgp: dict[str, str], tmp_path: Path) -> None:
    found = objects("argo-git.yaml")
    assert found["AppProject"]["spec"]["signatureKeys"][0]["keyID"]
    folder = committed(shop, pgp, "Argo CD", tmp_path)
    assert folder.as_posix().endswith(found["Application"]["spec"]["source"]["path"])
    read = [folder / name for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]]
    kinds = [one["kind"] for path in read for one in yaml.safe_load_all(path.read_text())]
    assert kinds == ["Deployment", "Job"]
    job = yaml.safe_load((folder / "job-migrate.yaml").read_text())
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"


def _compose() -> list[str] | None:
    """The machine's own, or the one of `make controllers`, which runs without `docker` too."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    alone = next(filter(None, (shutil.which(PROGRAMS / "docker-compose"), shutil.which("docker-compose"))), None)
    return None if alone is None else [alone]


@pytest.mark.engine
@pytest.mark.skipif(shutil.which("docker") is None or _compose() is None, reason="there is no docker compose")
def test_compose_runs_what_was_built(
    repo: servers.Repository, lineal: Lineal, repository: str, base_image: str, engine: docker.DockerClient,
    tmp_path: Path,
) -> None:  # fmt: skip
    repo.write({
        "lineal.yaml": "project: shop\nimages: {shop: {}}\n", "compose.yaml.j2": recipe("compose.yaml.j2"),
        "Dockerfile": f'FROM {base_image}\nCOPY file /file\nCMD ["sleep", "600"]\n', "file": "one\n",
    })  # fmt: skip
    shop, out = Project(repo, lineal, repository, tmp_path), tmp_path / "srv" / repository.split("/")[-2]
    compose = [*(_compose() or []), "--file", str(out / "compose.yaml")]

    def up() -> tuple[str, str]:
        """The image of the container as compose was told, and the container."""
        shop.build()
        shop.run("render", "--template", "compose.yaml.j2", "--output", str(out))
        done = subprocess.run([*compose, "up", "--detach"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        listed = subprocess.run([*compose, "ps", "--quiet"], capture_output=True, text=True, check=True).stdout
        container = engine.containers.get(listed.split()[0])
        return str(container.attrs["Config"]["Image"]), str(container.id)

    try:
        image, container = up()
        assert image == image_of(shop)
        assert up() == (image, container)
        repo.write({"file": "two\n"})
        other, replaced = up()
        assert other == image_of(shop) != image
        assert replaced != container
    finally:
        subprocess.run([*compose, "down", "--timeout", "0"], capture_output=True, check=False)


def test_nomad_gets_a_job(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> None:
    repo.write({
        "lineal.yaml": "project: shop\nimages: {shop: {}}\n", "shop.nomad.hcl.j2": recipe("shop.nomad.hcl.j2"),
        "Dockerfile": "FROM scratch\nCOPY file /\n", "file": "one\n",
    })  # fmt: skip
    shop = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    shop.build()
    ran = shop.run("render", "--template", "shop.nomad.hcl.j2")
    assert f'image = "{ran.report["images"][0]["image"]}"' in ran.stdout
    read_hcl(ran.stdout)  # it is HCL
    if (nomad := shutil.which("nomad")) is not None:
        subprocess.run([nomad, "job", "validate", "-"], input=ran.stdout.encode(), check=True)
