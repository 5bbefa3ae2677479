"""What only real registries can show: races, deletions, many tags, mounts, bundles and copies, and what docs/store.md
says of them."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from lineal.oci import Conflict
from lineal.oci.types import OCI_LAYER_GZIP, OCI_MANIFEST, Blob, Descriptor, Manifest, sha256
from lineal.store.copy import copy_image
from lineal.store.layout import Layout
from lineal.store.registry.client import Registry
from lineal.store.tags import stage_tag
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published
from tests.e2e.test_cleanup import branch, cleanup, opened
from tests.registries.real import REAL, Real
from tests.servers import Repository
from tests.tools import helm as binaries
from tests.unit.store.conftest import manifest_of


@pytest.fixture(params=REAL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def real(name: str) -> Real:
    return REAL[name]


@pytest.fixture
def address(name: str, real_registry: Callable[[str], str]) -> str:
    """A repository that nobody has used."""
    return f"{real_registry(name)}/real-{secrets.token_hex(6)}/app"


@pytest.fixture
def store(address: str, tmp_path: Path) -> Iterator[Registry]:
    host, _, repository = address.partition("/")
    store = Registry(host, repository, environ={"HOME": str(tmp_path)})
    yield store
    store.close()


@pytest.fixture
def project(repo: Repository, lineal: Lineal, address: str, tmp_path: Path) -> Project:
    lineal.env |= NOWHERE
    return Project(repo, lineal, address, tmp_path)


def test_two_that_publish_at_once_agree(project: Project) -> None:
    project.write("FROM scratch\nCOPY src /src\n", {"src/a": "one"})
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(lambda _: project.lineal("build", "app", "--repo", project.store, "--lock", "none"), "ab")
        )
    assert [done.code for done in both] == [0, 0], both
    again = project.build()
    assert again.made == []
    assert {done.stdout.strip().partition("@")[2] for done in both} == {again.digests["app"]}


def test_what_nothing_needs_is_deleted_or_the_run_says_why_not(project: Project, real: Real) -> None:
    opened(project)
    kept = project.contents.tags()
    dropped = branch(project, "dropped", base="dropped").tags
    project.repo.git("branch", "--quiet", "--delete", "--force", "dropped")
    before = project.contents.tags()
    if not real.deletes:
        refused = cleanup(project, code=5)
        assert re.search("does not allow to delete stages|deletion of tagged manifest not permitted", refused.stderr)
        assert (refused.stdout, project.contents.tags()) == ("", before)
        return
    assert set(cleanup(project).stdout.split()) == dropped
    assert project.contents.tags() == kept
    assert project.build().made == []


def test_a_list_of_more_than_a_page_is_whole(store: Registry) -> None:
    checksums = [sha256(bytes([n])).removeprefix("sha256:") for n in range(5)]
    manifest = manifest_of(store)
    tags = [stage_tag(checksum, stamp) for checksum in checksums for stamp in range(220)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tag: store.put_manifest(manifest, tag), tags))
    assert sorted(store.tags()) == sorted(tags)
    for checksum in checksums:
        assert sorted(store.tags(checksum)) == sorted(tag for tag in tags if tag.startswith(checksum))


def test_a_large_layer_is_sent_once(store: Registry, real: Real, tmp_path: Path) -> None:
    """Then it is mounted, or there already."""
    file = tmp_path / "layer"
    file.write_bytes(os.urandom(1 << 20) * 20)
    blob = Blob(sha256(file.read_bytes()), file.stat().st_size, file)
    base = store.sibling(f"{store.repository}/base")
    base.put_blob(blob)
    base.put_manifest(manifest_of(base), "base")
    assert store.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), base) == real.mounts
    assert store.has_blob(blob.digest)
    assert store.traffic.bytes_sent < blob.size
    assert b"".join(store.blob(blob.digest)) == file.read_bytes()


def test_an_image_of_a_directory_is_copied_there_and_back(store: Registry, tmp_path: Path, project: Project) -> None:
    project.write("FROM scratch\nCOPY src /src\n", {"src/a": "one"})
    project.store, kept = f"layout:{tmp_path / 'built'}", project.store
    built = str(project.build().digests["app"])
    source, back = Layout(tmp_path / "built"), Layout(tmp_path / "back")
    copy_image(built, "moved", source, store)
    assert copy_image(built, "moved", source, store).streamed == 0
    copy_image(built, "moved", store, back)
    for digest in [built, *json.loads(back.manifest(built).data)["manifests"]]:  # type: ignore[union-attr]
        name = digest if isinstance(digest, str) else digest["digest"]
        assert store.manifest(name) == source.manifest(name) == back.manifest(name)
    assert kept.endswith(store.repository)


FINISHED = """
project: shop
images: {app: {}}
publish: {to: ["%s-final"], tags: ["{{ git.tag | semver('{major}.{minor}.{patch}') }}", latest]}
"""


def test_finished_images_get_their_tags_and_moving_ones_move(project: Project, real: Real) -> None:
    project.write("FROM scratch\nCOPY src /src\n", {"src/a": "one", "lineal.yaml": FINISHED % project.store})
    project.repo.git("tag", "v1.4.2")
    project.build()
    final = Published(f"{project.store}-final")
    first = final.tags()
    assert first.keys() >= {"1.4.2", "latest"} and first["1.4.2"] == first["latest"]
    assert final.json(first["latest"])["mediaType"] == OCI_MANIFEST
    project.build()
    assert final.tags() == first
    project.repo.write({"src/a": "two"})
    moved = project.build(code=5 if real.immutable else 0)
    assert final.tags()["1.4.2"] == first["1.4.2"]
    assert (final.tags()["latest"] == first["latest"]) == real.immutable
    if real.immutable:
        assert f"The tag {project.store}-final:latest was not taken" in moved.stderr


CHART: dict[str, str | bytes | None] = {
    "lineal.yaml": "project: shop\nimages: {app: {}}\ndeploy: {chart: chart, values: [images.yaml.j2]}\n",
    "images.yaml.j2": "image: '{{ images.app.image }}'\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "chart/templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"
    "data: {image: '{{ .Values.image }}'}\n",
}


@pytest.mark.helm
def test_a_bundle_is_published_beside_the_store_and_copied(project: Project, tmp_path: Path) -> None:
    binaries.fetch(binaries.directory())
    project.lineal.env["LINEAL_HELM"] = str(binaries.directory() / "helm4")
    project.write("FROM scratch\nCOPY src /src\n", {"src/a": "one", **CHART})
    built = project.build().digests["app"]
    reference = project.run("bundle", "publish", "--version", "1.0.0").stdout.strip()
    done = project.lineal("bundle", "copy", reference, f"{project.store}-customer", cwd=tmp_path)
    assert done.code == 0, done.stderr
    new = Published(f"{project.store}-customer")
    assert built in new.tags().values() and new.files(str(built)) == {"src/a": b"one"}
    assert done.stdout.startswith(f"oci://{project.store}-customer/shop:1.0.0@sha256:")


def test_what_refers_to_an_image_is_found_where_the_registry_can(store: Registry, real: Real) -> None:
    subject = manifest_of(store)
    store.put_manifest(subject, "one")
    document = {**subject.json, "subject": subject.descriptor().to_json(), "artifactType": "application/example"}
    referrer = Manifest(json.dumps(document).encode(), OCI_MANIFEST)
    store.put_manifest(referrer)
    assert store.manifest(referrer.digest) == referrer
    answer = requests.get(f"http://{store.host}/v2/{store.repository}/referrers/{subject.digest}", timeout=300)
    found = [entry["digest"] for entry in answer.json()["manifests"]] if answer.status_code == 200 else []
    assert found == ([referrer.digest] if real.referrers else [])


@pytest.mark.parametrize("name", [name for name, real in REAL.items() if real.immutable])
def test_an_immutable_tag_is_not_written_again(store: Registry) -> None:
    first, second = manifest_of(store, "1"), manifest_of(store, "2")
    store.put_manifest(first, "one")
    store.put_manifest(first, "one")
    with pytest.raises(Conflict):
        store.put_manifest(second, "one")
    assert store.digest("one") == first.digest
