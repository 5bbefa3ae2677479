"""`lineal verify`: what an image rests on is told as it is, and a forgery is found wherever it is put."""

from __future__ import annotations

import io
import json
import tarfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from lineal.oci import Store
from lineal.oci.image import encode, image_of, read_image
from lineal.oci.types import OCI_INDEX, OCI_LAYER, Blob, Descriptor, Manifest
from lineal.store.layout import Layout
from lineal.store.open import StoreOpener
from lineal.store.record import CONTENT, MAX_STATEMENT, PREFIX, Part, image_digest
from lineal.trust.chain import link
from tests.e2e.parts import Project
from tests.unit.trust.signing import new_key, pem, public_pem

SIGNING = {"LINEAL_SIGNING_KEY": pem(new_key())}
TRUST = "trust: {accept: [{key: keys/ci.pub}]}\n"


@pytest.fixture
def project(fresh: Project) -> Project:
    base(store_of(fresh, "/base"))
    commit(fresh)
    return fresh


def store_of(project: Project, below: str = "") -> Store:
    return StoreOpener(project.scratch).store(project.store + below)


def base(store: Store, passwd: bytes = b"app:x:7:7::/:/bin/sh\n") -> None:
    """An image with a folder and a user, as a project may stand on."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(passwd)
        tar.addfile(entry, io.BytesIO(passwd))
    layer = Blob.of(file.getvalue())
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
              "history": [{"created_by": "tar"}]}  # fmt: skip
    image = image_of(config, [Descriptor(OCI_LAYER, layer.digest, layer.size)])
    store.put_blob(layer)
    store.put_blob(Blob.of(image.config))
    store.put_manifest(image.manifest, "1")


def commit(project: Project, trust: str = "", two: str = "2") -> None:
    config = f"project: shop\nimages: {{app: {{}}}}\npublish: {{to: ['{project.store}/app']}}\n{trust}"
    dockerfile = (
        f"FROM {project.store}/base:1 AS files\nCOPY one /one\n"
        f"FROM {project.store}/base:1\nCOPY --chown=app two /\nCOPY --from=files /one /\nLABEL a=b\n"
    )
    project.repo.write(
        {"lineal.yaml": config, "Dockerfile": dockerfile, "one": "1", "two": two,
         "keys/ci.pub": public_pem(new_key()).decode()}
    )  # fmt: skip


def verify(project: Project, reference: str, code: int = 0) -> dict[str, Any]:
    done = project.lineal("verify", "--format", "json", "--repo", project.store, reference, cwd=project.repo.path)
    assert done.code == code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def verdicts(found: dict[str, Any]) -> list[str]:
    return [stage["verdict"] for image in found["images"] for stage in image["stages"]]


def test_git_proves_all_of_an_image_but_its_base(project: Project) -> None:
    reference = project.build().stdout.split()[-1]
    found = verify(project, reference)
    assert verdicts(found) == ["proved", "proved", "proved", "base"]
    (chain,) = found["images"][0]["stages"][1]["sources"]
    assert [stage["verdict"] for stage in chain] == ["proved", "base"]
    # A later commit that changes something else proves the same image.
    commit(project, two="3")
    assert verdicts(verify(project, reference))[-1] == "base"
    shown = project.lineal("verify", "--repo", project.store, reference, cwd=project.repo.path)
    assert "proved from git" in shown.stdout and "trusted base" in shown.stdout


def forged(
    store: Store, victim: Manifest, change: Callable[[dict[str, Any]], object], image: Manifest | None = None,
    **annotations: str,
) -> Manifest:  # fmt: skip
    """The victim's index with another statement and other annotations, around another image if one is given."""
    beside = store.manifest(victim.json["manifests"][1]["digest"])
    assert beside is not None
    record, index = json.loads(beside.data), json.loads(victim.data)
    statement = json.loads(Part.of(record["layers"][0]).read(store, MAX_STATEMENT))
    if image is not None:
        statement["subject"][0]["digest"]["sha256"] = image.digest.removeprefix("sha256:")
        index["manifests"][0] |= {"digest": image.digest, "size": len(image.data)}
    change(statement["predicate"]["buildDefinition"])
    record["layers"][0]["annotations"][CONTENT] = b64encode(json.dumps(statement).encode()).decode()
    manifest = Manifest(encode(record), beside.media_type)
    store.put_manifest(manifest)
    index["manifests"][1] |= {"digest": manifest.digest, "size": len(manifest.data)}
    index["annotations"] |= {PREFIX + key: text for key, text in annotations.items()}
    return Manifest(encode(index), victim.media_type)


def evil(store: Store, victim: Manifest) -> Manifest:
    """An image with the victim's layers and another label."""
    image = read_image(store, image_digest(victim), "linux/amd64")
    config = json.loads(image.config)
    config["config"]["Labels"] = {"a": "evil"}
    found = image_of(config, image.layers)
    store.put_blob(Blob.of(found.config))
    store.put_manifest(found.manifest)
    return found.manifest


def put(store: Store, tag: str, index: Manifest) -> None:
    store.put_manifest(index, tag)
    store.put_manifest(index, tag.partition("-")[0])


def test_an_image_that_git_does_not_give_is_a_forgery(project: Project) -> None:
    """Each forgery is taken back before the next one."""
    reference = project.build().stdout.split()[-1]
    store = store_of(project)
    label, _, two, bottom = verify(project, reference)["images"][0]["stages"]
    indexes = {stage["tag"]: store.manifest(stage["tag"]) for stage in (label, two, bottom)}
    victims = {tag: index for tag, index in indexes.items() if index is not None}
    # Another base below, which its record names.
    lie = forged(
        store, victims[bottom["tag"]], lambda said: said["internalParameters"]["inputs"].update({"from": "evil"})
    )
    put(store, bottom["tag"], lie)
    found = verify(project, reference, code=1)["images"][0]["stages"][-1]
    assert found["verdict"] == "forged" and "no Dockerfile that names evil" in found["reason"]
    put(store, bottom["tag"], victims[bottom["tag"]])
    # Another stage below, which the Dockerfile does not name.
    other = two["checksum"]
    lie = forged(
        store, victims[label["tag"]], lambda said: said["internalParameters"].update(parent=other), parent=other
    )
    put(store, label["tag"], lie)
    found = verify(project, reference, code=1)["images"][0]["stages"][0]
    assert found["verdict"] == "forged" and "another stage" in found["reason"]
    # Another image, published as a finished one.
    image = evil(store, victims[label["tag"]])
    put(store, label["tag"], forged(store, victims[label["tag"]], lambda _: None, image))
    final = store_of(project, "/app")
    for part in (image.json["config"], *image.json["layers"]):
        final.put_blob(Blob.of(b"".join(store.blob(part["digest"]))))
    final.put_manifest(image)
    found = verify(project, f"{project.store}/app@{image.digest}", code=1)["images"][0]["stages"][0]
    assert found["verdict"] == "forged" and "git gives" in found["reason"]


def test_an_image_that_no_stage_is_rests_on_nothing(project: Project) -> None:
    project.build()
    other = image_of({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}, [])
    final = store_of(project, "/app")
    final.put_blob(Blob.of(other.config))
    final.put_manifest(other.manifest)
    assert verify(project, f"{project.store}/app@{other.manifest.digest}", code=2)["images"][0]["stages"] == []


@pytest.mark.parametrize("entry", [7, {"platform": 7}, {"platform": {"os": "linux"}}])
def test_an_index_of_anything_is_no_image(project: Project, tmp_path: Path, entry: Any) -> None:
    index = encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
    Layout(tmp_path / "evil", "evil").put_manifest(Manifest(index, OCI_INDEX), "1")
    done = project.lineal("verify", "--repo", project.store, f"layout:{tmp_path}/evil:1", cwd=project.repo.path)
    assert done.code == 3 and "is an index that names no image" in done.stderr


@pytest.mark.parametrize("tag", ["{}/../1", "../manifests/{}", "", "{} x"])
def test_a_stage_is_asked_for_by_what_can_be_a_tag(tag: str) -> None:
    """Anybody may write a provenance, and so the tags in it."""

    class Asked:
        def manifest(self, reference: str) -> None:
            raise AssertionError(reference)

    assert link(cast(Store, Asked()), tag.format("1" * 64), "1" * 64) is None


def test_a_signature_counts_where_git_proves_nothing_any_more(project: Project) -> None:
    """The history is another one: nothing can be made again, and the key vouches."""
    commit(project, TRUST)
    reference = project.build(env=SIGNING).stdout.split()[-1]
    project.repo.git("checkout", "--quiet", "--orphan", "other")
    commit(project, TRUST, two="another")
    found = verify(project, reference)
    assert verdicts(found) == ["signed", "signed", "signed", "base"]
    commit(project, two="another")
    assert verdicts(verify(project, reference, code=2)) == ["unvouched"] * 3 + ["base"]


def test_a_policy_of_ones_own_says_whose_signatures_count(project: Project, tmp_path: Path) -> None:
    commit(project, TRUST)
    reference = project.build(env=SIGNING).stdout.split()[-1]
    project.repo.git("checkout", "--quiet", "--orphan", "other")
    commit(project, two="another")
    policy = tmp_path / "policy.yaml"
    for key, code, first in ((new_key(), 0, "signed"), (new_key("another"), 2, "unvouched")):
        (tmp_path / "ci.pub").write_bytes(public_pem(key))
        policy.write_text("trust: {accept: [{key: ci.pub}]}\n")
        run = ("verify", "--format", "json", "--repo", project.store, "--policy", str(policy), reference)
        done = project.lineal(*run, cwd=project.repo.path)
        assert (done.code, verdicts(json.loads(done.stdout))[0]) == (code, first), done.stderr
