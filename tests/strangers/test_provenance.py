"""Provenance of finished images: beside them, where other tools look for it, and the same whoever asks."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from lineal.oci import Store
from lineal.publish.referrer import referrers
from lineal.store.open import StoreOpener
from lineal.store.statement import STATEMENT
from lineal.trust.envelope import Signature, signed_bytes
from lineal.trust.sigstore_bundle import BUNDLE
from tests.e2e.parts import Project
from tests.unit.trust.signing import new_key, pem, public_key

SIGNING = {"LINEAL_SIGNING_KEY": pem(new_key())}
DOCKERFILE = "FROM scratch\nCOPY one /\nCOPY two /\n"


@pytest.fixture
def project(fresh: Project) -> Project:
    return fresh


def commit(project: Project, publish: str = "", two: str = "2") -> None:
    config = f"project: shop\nimages: {{app: {{}}}}\npublish: {{to: ['{project.store}/app']{publish}}}\n"
    project.repo.write({"lineal.yaml": config, "Dockerfile": DOCKERFILE, "one": "1", "two": two})


def said(project: Project, digest: str) -> tuple[Store, list[dict[str, Any]]]:
    final = StoreOpener(project.scratch).store(f"{project.store}/app")
    return final, referrers(final, digest)


def content(final: Store, entry: dict[str, Any]) -> bytes:
    manifest = final.manifest(entry["digest"])
    assert manifest is not None
    (layer,) = manifest.json["layers"]
    return b"".join(final.blob(layer["digest"]))


def test_a_finished_image_has_provenance_of_all_its_stages(project: Project) -> None:
    commit(project)
    built = project.build()
    digest = built.stdout.strip().rpartition("@")[2]
    final, (entry,) = said(project, digest)
    assert entry["artifactType"] == STATEMENT
    document = json.loads(content(final, entry))
    assert document["subject"] == [{"name": "app", "digest": {"sha256": digest.removeprefix("sha256:")}}]
    definition = document["predicate"]["buildDefinition"]
    stages = definition["internalParameters"]["stages"]
    assert [stage["instruction"] for stage in stages] == ["COPY one /", "COPY two /"]
    assert {"name": "source", "digest": {"gitCommit": project.repo.head()}} in definition["resolvedDependencies"]
    # The image is a plain one, and its digest the same without provenance and for a commit that changes nothing.
    commit(project, ", provenance: false")
    again = project.build()
    assert again.stdout.strip().rpartition("@")[2] == digest
    # An image that has its provenance gets no other, whoever tags it.
    commit(project, ", tags: ['1.2.3']")
    project.build()
    assert said(project, digest)[1] == [entry]


def test_provenance_is_left_out_where_nobody_wants_it(project: Project) -> None:
    commit(project, ", provenance: false")
    digest = project.build().stdout.strip().rpartition("@")[2]
    assert said(project, digest)[1] == []


def test_a_run_with_a_key_signs_the_provenance_once(project: Project) -> None:
    commit(project)
    digest = project.build(env=SIGNING).stdout.strip().rpartition("@")[2]
    final, (entry,) = said(project, digest)
    assert entry["artifactType"] == BUNDLE
    envelope = json.loads(content(final, entry))["dsseEnvelope"]
    payload, signature = b64decode(envelope["payload"]), Signature("", b64decode(envelope["signatures"][0]["sig"]))
    assert public_key(new_key()).verifies(signature.value, signed_bytes(payload))
    assert json.loads(payload)["subject"][0]["digest"]["sha256"] == digest.removeprefix("sha256:")
    commit(project, ", tags: ['1.2.3']")
    project.build(env=SIGNING)
    assert said(project, digest)[1] == [entry]
