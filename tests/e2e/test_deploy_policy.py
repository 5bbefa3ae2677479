"""A policy at the door of a cluster: `deploy` and `bundle apply` install what it believes, and nothing that somebody
with the right to push has put into its place since the build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.oci import Store
from lineal.oci.image import encode
from lineal.oci.types import Manifest
from lineal.store.open import StoreOpener
from lineal.store.record import SIGNATURES
from tests import servers
from tests.cluster.fixtures import Cluster
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran
from tests.e2e.test_bundle_apply import FILES
from tests.tools import helm as binaries
from tests.unit.trust.signing import new_key, pem, public_pem

pytestmark = [pytest.mark.registry, pytest.mark.helm]

TRUST = "trust: {accept: [{key: keys/ci.pub}], recompute: false}\n"
SIGNING = {"LINEAL_SIGNING_KEY": pem(new_key())}
STRANGER = {"LINEAL_SIGNING_KEY": pem(new_key("a stranger's"))}


@pytest.fixture
def project(
    repo: servers.Repository, lineal: Lineal, repository: str, kubernetes: Cluster, tmp_path: Path
) -> Project:  # fmt: skip
    """Its chart tells the digest of its one image, a finished one."""
    binaries.fetch(binaries.directory())
    helm = str(binaries.directory() / "helm4")
    lineal.env.update(NOWHERE | {"LINEAL_HELM": helm, "KUBECONFIG": str(kubernetes.kubeconfig)})
    publish = f"publish: {{to: ['{repository}/app'], tags: ['v1']}}\n"
    config = str(FILES["lineal.yaml"]) + publish + TRUST
    repo.write({**FILES, "lineal.yaml": config, "keys/ci.pub": public_pem(new_key()).decode()})
    return Project(repo, lineal, repository, tmp_path)


def deployed(project: Project, namespace: str, code: int = 0) -> Ran:
    where = ("--release", "shop", "--namespace", namespace, "--timeout", "60s")
    return project.run("deploy", *where, code=code)


# --- deploy -------------------------------------------------------------------------------------------------------


def test_what_is_signed_is_deployed_whatever_is_put_into_its_place(
    project: Project, kubernetes: Cluster, namespace: str
) -> None:
    built = project.build(env=SIGNING)
    digest = built.report["images"][0]["digest"]
    store = StoreOpener(project.scratch).store(project.store)
    final = StoreOpener(project.scratch).store(f"{project.store}/app")
    # Somebody who may push moves the anchor of the stage, and the finished image's tag.
    anchor = next(tag for tag in store.tags() if len(tag) == 64)
    store.put_manifest(unsigned(store, anchor), anchor)
    honest = final.manifest("v1")
    assert honest is not None and honest.digest == digest
    final.move_tag(Manifest(encode({**honest.json, "annotations": {"x": "evil"}}), honest.media_type), "v1")
    assert final.digest("v1") != digest
    deployed(project, namespace)
    assert kubernetes.text(namespace, "shop") == digest


def test_what_nobody_vouches_for_is_not_deployed(project: Project, kubernetes: Cluster, namespace: str) -> None:
    project.build(env=SIGNING)
    deployed(project, namespace)
    before = kubernetes.versions(namespace)
    project.repo.write({"file": "two\n"})
    # A branch's job has published the very same: it has another key, and accepts it.
    theirs = project.clone("theirs")
    theirs.repo.write({"keys/ci.pub": public_pem(new_key("a stranger's")).decode()})
    theirs.build(env=STRANGER)
    refused = deployed(project, namespace, code=1)
    assert "app" in refused.error and "Traceback" not in refused.stderr
    assert kubernetes.versions(namespace) == before


def unsigned(store: Store, tag: str) -> Manifest:
    """A published stage as somebody without the key can publish it."""
    index = store.manifest(tag)
    assert index is not None
    record = store.manifest(index.json["manifests"][1]["digest"])
    assert record is not None
    document = json.loads(record.data)
    del document["layers"][0]["annotations"][SIGNATURES]
    bare = Manifest(encode(document), record.media_type)
    store.put_manifest(bare)
    changed = json.loads(index.data)
    changed["manifests"][1] |= {"digest": bare.digest, "size": len(bare.data)}
    return Manifest(encode(changed), index.media_type)


# --- bundle apply -------------------------------------------------------------------------------------------------


@pytest.fixture
def away(project: Project) -> Path:
    """A machine without the repository: the policy, and the key that it names."""
    folder = project.scratch / "away"
    folder.mkdir()
    (folder / "policy.yaml").write_text("trust: {accept: [{key: ci.pub}]}\n")
    (folder / "ci.pub").write_bytes(public_pem(new_key()))
    return folder


def applied(project: Project, away: Path, namespace: str, *args: str, code: int = 0, **env: str) -> str:
    where = ("--release", "shop", "--namespace", namespace, "--timeout", "60s")
    done = project.lineal("bundle", "apply", *args, *where, cwd=away, env=env)
    assert done.code == code and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def published(project: Project, version: str, env: dict[str, str]) -> str:
    ran = project.run("bundle", "publish", "--version", version, env=env)
    assert ("refuses it until it is signed" in ran.stderr) is (not env), "said where nobody will believe it"
    return ran.stdout.strip()


def test_a_bundle_that_the_policy_believes_is_installed(
    project: Project, away: Path, kubernetes: Cluster, namespace: str
) -> None:
    built = project.build(env=SIGNING)
    reference = published(project, "1.0.0", SIGNING)
    told = project.lineal("verify", "--repo", project.store, "--format", "json", reference)
    assert json.loads(told.stdout)["bundle"]["reason"] == "signed by keys/ci.pub" and told.code == 0
    applied(project, away, namespace, "--policy", "policy.yaml", reference)
    assert kubernetes.text(namespace, "shop") == built.report["images"][0]["digest"]
    again = applied(project, away, namespace, reference.partition("@")[0], LINEAL_POLICY="policy.yaml")
    assert "so nothing is deployed" in again
    moved = project.lineal(
        "bundle", "copy", "--policy", "policy.yaml", reference, f"{project.store}/customer", cwd=away, env=SIGNING
    )
    assert moved.code == 0, moved.stderr
    applied(project, away, namespace, "--policy", "policy.yaml", moved.stdout.strip())


def test_a_bundle_that_nobody_vouches_for_or_that_was_changed_is_not(
    project: Project, away: Path, kubernetes: Cluster, namespace: str
) -> None:
    project.build(env=SIGNING)
    signed, policy = published(project, "1.0.0", SIGNING), ("--policy", "policy.yaml")
    bundles = StoreOpener(project.scratch).store(f"{project.store}/small")

    def refused(reference: str, why: str, code: int = 1, verified: int = 2) -> None:
        assert why in applied(project, away, namespace, *policy, reference, code=code)
        assert kubernetes.releases(namespace) == {}
        told = project.lineal("verify", "--policy", f"{away}/policy.yaml", "--repo", project.store, reference)
        assert (told.code, "Traceback" in told.stderr) == (verified, False), told.stderr

    refused(published(project, "2.0.0", {}), "is not used: nobody has signed it")
    # In a run whose commit accepts it; the policy of who installs does not.
    project.repo.write({"lineal.yaml": str(FILES["lineal.yaml"])})
    project.build()
    refused(published(project, "3.0.0", STRANGER), "signed with a key that the policy does not accept")
    # The signed one under the tag of another version, and with the chart of another one inside.
    found = bundles.manifest(signed.partition("@")[2])
    theirs = bundles.manifest("3.0.0")
    assert found is not None and theirs is not None
    bundles.put_manifest(found, "4.0.0")
    refused(f"oci://{bundles.address}:4.0.0", "leads to the bundle of version `1.0.0`", verified=1)
    evil = Manifest(encode({**found.json, "layers": theirs.json["layers"]}), found.media_type)
    bundles.put_manifest(evil, "5.0.0")
    refused(f"oci://{bundles.address}:5.0.0", "is not used: nobody has signed it")
    (away / "policy.yaml").write_text("trust: {accept: [{key: another.pub}]}\n")
    refused(signed, "There is no file another.pub", code=3, verified=3)
    # Without a policy everybody is believed.
    applied(project, away, namespace, f"oci://{bundles.address}:3.0.0")
    assert kubernetes.releases(namespace) == {1: "deployed"}
