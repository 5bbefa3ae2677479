"""Bundles in a run with a key: marked when they are published, and no other one is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.deploy.bundle import registry
from lineal.deploy.bundle.vouched import SIGNED, Vouchers, marks_of, vouched, vouchers_of
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci.image import encode
from lineal.oci.types import Manifest
from lineal.session.policy import of_file
from lineal.store.layout import Layout
from lineal.store.record import SIGNATURES
from lineal.trust.mark import MARK, Marks, TrustKey
from lineal.trust.signed import signer
from tests.unit.deploy.bundle.test_bundle import COMMIT, bundle
from tests.unit.trust.signing import new_key, public_key, public_pem

KEY, OTHER = TrustKey(bytes(range(40))[:32]), TrustKey(bytes(range(60, 92)))
MARKS = Marks([KEY])


@pytest.fixture
def store(tmp_path: Path) -> Layout:
    return Layout(tmp_path, "registry.test/shop")


def put(store: Layout, version: str, marks: Marks | None = MARKS) -> Manifest:
    return registry.put(store, vouched(marks, bundle(version=version)), None, lambda _: None)


def test_a_marked_bundle_is_found_by_version_commit_and_digest(store: Layout) -> None:
    made = put(store, "1.0.0")
    assert MARK in made.json["annotations"]
    for name in ("1.0.0", COMMIT, made.digest):
        assert registry.get(store, name, "it", Vouchers(MARKS))[1].digest == made.digest
    assert put(store, "1.0.0").digest == made.digest, "publishing again changes nothing"
    assert registry.get(store, "1.0.0", "it")[0].version == "1.0.0", "without a key everybody is believed"


@pytest.mark.parametrize(
    ("marks", "why"), [(None, "not from a protected pipeline"), (Marks([OTHER]), "marked with another key")]
)
def test_what_others_published_is_refused_before_its_chart_is_read(
    store: Layout, marks: Marks | None, why: str
) -> None:
    made = put(store, "1.0.0", marks)
    store.delete(str(made.json["layers"][0]["digest"]))
    with pytest.raises(DeployFailed, match=why):
        registry.get(store, "1.0.0", "it", Vouchers(MARKS))


def test_a_chart_in_place_of_the_marked_one_is_refused(store: Layout) -> None:
    marked, evil = put(store, "1.0.0"), put(store, "2.0.0", None)
    document = json.loads(marked.data)
    document["layers"] = evil.json["layers"]
    store.put_manifest(Manifest(encode(document), marked.media_type), "3.0.0")
    with pytest.raises(DeployFailed, match="its mark is not true"):
        registry.get(store, "3.0.0", "it", Vouchers(MARKS))


def test_an_older_bundle_under_the_tag_of_another_version_is_refused(store: Layout) -> None:
    store.put_manifest(put(store, "1.0.0"), "2.0.0")
    with pytest.raises(DeployFailed, match="leads to the bundle of version `1"):
        registry.get(store, "2.0.0", "it", Vouchers(MARKS))


def test_the_mark_of_a_stage_is_none_of_a_bundle(store: Layout) -> None:
    made = put(store, "1.0.0", None)
    document = json.loads(made.data)
    document["annotations"][MARK] = MARKS.mark(made, lambda found: json.dumps(["lineal stage 1"]).encode()).json[
        "annotations"][MARK]  # fmt: skip
    store.put_manifest(Manifest(encode(document), made.media_type), "2.0.0")
    with pytest.raises(DeployFailed, match="its mark is not true"):
        registry.get(store, "2.0.0", "it", Vouchers(MARKS))


def test_a_wrong_key_is_told() -> None:
    assert marks_of({}) is None
    with pytest.raises(BadConfiguration, match="Key number 1"):
        marks_of({"LINEAL_TRUST_KEY": "short"})


# --- signed ------------------------------------------------------------------------------------------------------

SIGNERS = Vouchers(keys=[public_key(new_key("ci"))])


def put_signed(store: Layout, version: str, key: str = "ci", marks: Marks | None = None) -> Manifest:
    made = vouched(marks, bundle(version=version), signer(new_key(key), SIGNED))
    return registry.put(store, made, None, lambda _: None)


@pytest.mark.parametrize("marks", [None, MARKS])
def test_a_signed_bundle_is_installed_by_everybody_who_accepts_the_key(store: Layout, marks: Marks | None) -> None:
    made = put_signed(store, "1.0.0", marks=marks)
    for name in ("1.0.0", COMMIT, made.digest):
        assert registry.get(store, name, "it", SIGNERS)[1].digest == made.digest
    assert put_signed(store, "1.0.0", marks=marks).digest == made.digest, "publishing again changes nothing"


@pytest.mark.parametrize(
    ("key", "change", "why"),
    [
        ("a stranger's", {}, "signed with a key that the policy does not accept"),
        ("ci", {SIGNATURES: "[]"}, "or something else was signed"),
        ("ci", {SIGNATURES: "x"}, "not one that Lineal writes"),
        ("ci", {"dev.lineal.image.api": "evil"}, "or something else was signed"),
    ],
)
def test_what_nobody_signed_whom_the_policy_accepts_is_refused(
    store: Layout, key: str, change: dict[str, str], why: str
) -> None:
    document = json.loads(put_signed(store, "1.0.0", key).data)
    document["annotations"] |= change
    store.put_manifest(Manifest(encode(document), document["mediaType"]), "2.0.0")
    with pytest.raises(DeployFailed, match=why):
        registry.get(store, "2.0.0", "it", SIGNERS)
    put(store, "3.0.0", None)
    with pytest.raises(DeployFailed, match="nobody has signed it"):
        registry.get(store, "3.0.0", "it", SIGNERS)


def test_the_signed_bundle_of_another_version_is_refused(store: Layout) -> None:
    store.put_manifest(put_signed(store, "1.0.0"), "2.0.0")
    with pytest.raises(DeployFailed, match="leads to the bundle of version"):
        registry.get(store, "2.0.0", "it", SIGNERS)


def test_a_policy_file_says_whose_bundles_are_installed(tmp_path: Path) -> None:
    (tmp_path / "ci.pub").write_bytes(public_pem(new_key()))
    policy = tmp_path / "policy.yaml"
    policy.write_text("trust: {accept: [{key: ci.pub}]}\n")
    (key,) = vouchers_of({}, of_file(policy, "policy.yaml")).keys
    assert key.der == public_key(new_key()).der
    for text, why in (
        ("trust: {accept: [{key: no.pub}]}\n", "There is no file no.pub"),
        ("trust: {key: required}\n", "this run has none"),
        ("trust: {}\n", "names nobody to believe"),
        ("{}\n", "says nothing of whom to believe"),
        ("trust: {accept: [{github: acme/shop}]}\n", "bundles are signed with keys only"),
        ("trust: {accept: [1]}\n", "policy.yaml:1"),
    ):
        policy.write_text(text)
        with pytest.raises(BadConfiguration) as error:
            vouchers_of({}, of_file(policy, "policy.yaml"))
        assert why in str(error.value) + str(error.value.place)
    with pytest.raises(BadConfiguration, match="cannot be read"):
        of_file(tmp_path / "nowhere", "nowhere")
