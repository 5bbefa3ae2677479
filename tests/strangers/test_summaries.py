"""A summary of a verification is beside an image for clusters, signed, and only where all is well."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path

import pytest
import yaml

from lineal import __version__
from lineal.oci.image import read_blob
from lineal.publish.referrer import referrers
from lineal.publish.summary import LINEAGE, SUMMARY, VERIFIER
from lineal.trust.envelope import signed_bytes
from tests.e2e.parts import Project
from tests.strangers.test_verify import SIGNING, TRUST, base, commit, store_of
from tests.unit.trust.signing import new_key

PAGE = (Path(__file__).parents[2] / "docs" / "admission.md").read_text()


@pytest.fixture
def project(fresh: Project) -> Project:
    base(store_of(fresh, "/base"))
    commit(fresh, TRUST)
    return fresh


def test_a_verified_image_has_a_signed_summary(project: Project) -> None:
    reference = project.build(env=SIGNING).stdout.split()[-1]
    repository, _, digest = reference.partition("@")
    repository = repository.rpartition(":")[0]
    for _ in range(2):
        run = ("verify", "--attest", "--repo", project.store, reference)
        done = project.lineal(*run, env=SIGNING, cwd=project.repo.path)
        assert done.code == 0 and "has a summary" in done.stderr, done.stderr
    store = store_of(project, "/app")
    (entry,) = [
        one for one in referrers(store, digest)
        if one["annotations"].get("dev.sigstore.bundle.predicateType") == SUMMARY
    ]  # fmt: skip
    manifest = store.manifest(entry["digest"])
    assert manifest is not None
    envelope = json.loads(read_blob(store, manifest.json["layers"][0]["digest"], 1 << 20))["dsseEnvelope"]
    payload = b64decode(envelope["payload"])
    assert new_key().public.verifies(b64decode(envelope["signatures"][0]["sig"]), signed_bytes(payload))
    said = json.loads(payload)
    assert said["predicateType"] == SUMMARY
    assert said["subject"] == [{"name": repository, "digest": {"sha256": digest.removeprefix("sha256:")}}]
    told = said["predicate"]
    assert told["verifier"] == {"id": VERIFIER, "version": {"lineal": __version__}}
    assert (told["verificationResult"], LINEAGE in told["verifiedLevels"]) == ("PASSED", True)
    assert told["policy"]["digest"] == {"gitCommit": project.repo.git("rev-parse", "HEAD").strip()}


def test_nothing_is_said_of_an_image_that_rests_on_nothing_or_without_a_key(project: Project) -> None:
    reference = project.build(env=SIGNING).stdout.split()[-1]
    run = ("verify", "--attest", "--repo", project.store, reference)
    done = project.lineal(*run, cwd=project.repo.path)
    assert done.code == 3 and "this run has no LINEAL_SIGNING_KEY" in done.stderr
    project.repo.git("checkout", "--quiet", "--orphan", "other")
    commit(project, two="another")
    assert project.lineal(*run, env=SIGNING, cwd=project.repo.path).code == 2
    digest = reference.partition("@")[2]
    assert SUMMARY not in json.dumps(referrers(store_of(project, "/app"), digest))


def test_the_policies_of_the_page_ask_for_what_is_signed() -> None:
    kyverno, controller = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
    spec = kyverno["spec"]
    assert spec["attestations"] == [{"name": "summary", "intoto": {"type": SUMMARY}}]
    asked = " ".join(one["expression"] for one in spec["validations"])
    assert all(f"'{word}'" in asked for word in (VERIFIER, LINEAGE, "PASSED"))
    (authority,) = controller["spec"]["authorities"]
    assert authority["attestations"][0]["predicateType"] == SUMMARY
