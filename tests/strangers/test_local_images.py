"""What a build leaves on its machine: images in the Docker Engine, and archives that other tools read."""

from __future__ import annotations

import hashlib
import json
import resource
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project

pytestmark = pytest.mark.engine
NAME, REF = "io.containerd.image.name", "org.opencontainers.image.ref.name"


@pytest.fixture
def shop(engine: docker.DockerClient) -> Iterator[str]:
    """A project's name that no image of the engine has; its images are gone afterwards."""
    name = f"shop{secrets.token_hex(6)}"
    yield name
    # Not `images.list`, which looks at each one: others may remove theirs meanwhile.
    for image in engine.api.images():
        for tag in image["RepoTags"] or []:
            if name in tag:
                engine.images.remove(tag)


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, registry: str, shop: str, tmp_path: Path) -> Project:
    dockerfile = f"FROM scratch\nENV OF={shop}\nCOPY hello /\n"
    repo.write({"Dockerfile": dockerfile, "web.Dockerfile": dockerfile + "COPY hello /again\n", "hello": shop})
    return Project(repo, lineal, f"{registry}/{shop}/stages", tmp_path)


def configure(project: Project, shop: str, publish: object = None) -> None:
    images = {"api": {}, "web": {"dockerfile": "web.Dockerfile"}, "test": {"publish": False}}
    given = {} if publish is None else {"publish": publish}
    project.repo.write({"lineal.yaml": json.dumps({"project": shop, "images": images, **given})})


def index_of(archive: Path) -> dict[str, dict[str, Any]]:
    """Whole name -> entry, of an archive in which every blob is what its name says."""
    with tarfile.open(archive) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
    blobs = {name: data for name, data in files.items() if name.startswith("blobs/sha256/")}
    assert all(hashlib.sha256(data).hexdigest() == name[13:] for name, data in blobs.items())
    entries = json.loads(files["index.json"])["manifests"]
    for entry in entries:
        manifest = json.loads(blobs[f"blobs/sha256/{entry['digest'][7:]}"])
        assert all(
            f"blobs/sha256/{part['digest'][7:]}" in blobs for part in [manifest["config"], *manifest["layers"]]
        )
    return {entry["annotations"][NAME]: entry for entry in entries}


def test_finished_images_are_loaded_and_archived_under_their_tags(
    project: Project, shop: str, engine: docker.DockerClient, registry: str, tmp_path: Path
) -> None:
    final = f"{registry}/{shop}/final"
    configure(project, shop, {"to": [final + "/{{ image }}"], "tags": ["1.2.3", "stable"]})
    ran = project.build("--load", "--output", f"type=oci,dest={tmp_path}/oci.tar", "--output",
                        f"type=docker,dest={tmp_path}/docker.tar")  # fmt: skip
    # The one that is never finished stays away unless it is named.
    assert f"loaded     {shop}-api:latest, {final}/api:1.2.3, {final}/api:stable" in ran.stderr
    assert f"{shop}-test" not in ran.stderr
    api = engine.images.get(f"{shop}-api:latest").attrs
    assert set(api["RepoTags"]) == {f"{shop}-api:latest", f"{final}/api:1.2.3", f"{final}/api:stable"}
    assert f"OF={shop}" in api["Config"]["Env"]
    entries = index_of(tmp_path / "oci.tar")
    assert {entry["digest"] for name, entry in entries.items() if "api" in name} == {ran.digests["api"]}
    assert entries[f"{final}/api:1.2.3"]["annotations"][REF] == f"{final}/api:1.2.3"
    # Its image is the very one that is loaded from the archive.
    for tag in [*api["RepoTags"], *engine.images.get(f"{shop}-web:latest").attrs["RepoTags"]]:
        engine.images.remove(tag)
    with (tmp_path / "docker.tar").open("rb") as file:
        engine.images.load(file)
    again = engine.images.get(f"{final}/api:1.2.3").attrs
    assert (again["Id"], set(again["RepoTags"])) == (api["Id"], set(api["RepoTags"]))
    assert engine.images.get(f"{shop}-web:latest").attrs["RootFS"]["Layers"][0] in again["RootFS"]["Layers"]


def test_a_fork_tests_what_it_built(
    project: Project, shop: str, engine: docker.DockerClient, registry: str, tmp_path: Path
) -> None:
    configure(project, shop, {"to": [f"{registry}/{shop}/final/{{{{ image }}}}"], "tags": ["1.2.3"]})
    head = {"sha": project.repo.head(), "ref": "x", "repo": {"full_name": "m/shop"}}
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 1, "head": head}}))
    env = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REPOSITORY": "acme/shop",
           "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_SHA": project.repo.head(),
           "GITHUB_REF": "refs/pull/1/merge", "LINEAL_LOAD": "true"}  # fmt: skip
    project.build("api", "--output", f"type=oci,dest={tmp_path}/tree,tar=false", env=env)
    assert engine.images.get(f"{shop}-api:latest").attrs["RepoTags"] == [f"{shop}-api:latest"]
    listed = engine.api.images()
    assert f"{shop}-web:latest" not in str([image["RepoTags"] for image in listed])
    (entry,) = json.loads((tmp_path / "tree/index.json").read_text())["manifests"]
    assert entry["annotations"] == {NAME: f"docker.io/library/{shop}-api:latest", REF: "latest"}
    seen = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/tree:latest"], capture_output=True, check=True
    )
    assert f"sha256:{hashlib.sha256(seen.stdout).hexdigest()}" == entry["digest"]


def test_an_archive_on_stdout_is_all_that_is_there(project: Project, shop: str, tmp_path: Path) -> None:
    configure(project, shop)
    with (tmp_path / "out.tar").open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "lineal", "build", "--repo", project.store, "--output", "type=oci,dest=-"],
            cwd=project.repo.path, env=project.lineal.environment() | NOWHERE, stdout=file, stderr=subprocess.PIPE,
            text=True, check=True,
        )  # fmt: skip
    assert set(index_of(tmp_path / "out.tar")) == {
        f"docker.io/library/{shop}-{name}:latest" for name in ("api", "web", "test")
    }
    assert f"api {project.store}:" in done.stderr


def test_what_cannot_be_is_said_before_anything_is_built(project: Project, shop: str, tmp_path: Path) -> None:
    configure(project, shop)
    ran = project.build("--output", f"type=oci,dest={tmp_path}/none/a.tar", code=3)
    assert ran.error.startswith("There is no directory for the archive")
    ran = project.build("--load", env=NOWHERE, code=5)
    assert ran.error.startswith("The Docker Engine at unix:///nowhere/docker.sock cannot be reached.")
    assert project.plan("--exit-code", code=2).made == []
    assert all(stage["outcome"] == "missing" for stage in project.plan("--exit-code", code=2).stages)


def test_a_disk_that_is_full_leaves_nothing(project: Project, shop: str, tmp_path: Path) -> None:
    configure(project, shop)
    project.repo.write({"hello": secrets.token_hex(1 << 19)})
    project.build()
    folder = tmp_path / "archives"
    folder.mkdir()
    output = f"type=oci,dest={folder}/a.tar"
    done = subprocess.run(
        [sys.executable, "-m", "lineal", "build", "--repo", project.store, "--output", output],
        cwd=project.repo.path, env=project.lineal.environment() | NOWHERE, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18)), check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert f"The archive {folder}/a.tar cannot be written: file too large." in done.stderr
    assert list(folder.iterdir()) == []
