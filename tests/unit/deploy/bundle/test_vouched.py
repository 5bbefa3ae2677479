"""Bundles in a run with a key: marked when they are published, and no other one is read."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.deploy.bundle import registry
from lineal.deploy.bundle.signatures import SIGNATURE, Signatures
from lineal.deploy.bundle.vouched import Vouchers, marks_of, vouched, vouchers_of
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci.image import encode
from lineal.oci.types import OCI_MANIFEST, Blob, Manifest
from lineal.publish.referrer import Referrer, referrer, referrers, say_once, state
from lineal.publish.referrer import bundle as bundle_beside
from lineal.session.policy import of_file
from lineal.store.layout import Layout
from lineal.store.statement import STATEMENT_TYPE
from lineal.trust.identity import Identity
from lineal.trust.mark import MARK, Marks, TrustKey
from lineal.trust.policy import IdentitySigner
from lineal.trust.signed import signer
from lineal.trust.sigstore_bundle import BUNDLE, Sigstore
from tests.unit.deploy.bundle.test_bundle import COMMIT, bundle
from tests.unit.trust.signing import new_key, public_key, public_pem
from tests.unit.trust.sigstore_pki import PIPELINE, Instance

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

ACCEPTED = Signatures([public_key(new_key("ci"))])
SIGNERS = Vouchers(signatures=ACCEPTED)


def put_signed(store: Layout, version: str, key: str = "ci", marks: Marks | None = None) -> Manifest:
    signers = [(new_key(key).public.id, signer(new_key(key)))]
    return registry.put(store, vouched(marks, bundle(version=version), signers), None, lambda _: None)


@pytest.mark.parametrize("marks", [None, MARKS])
def test_a_signed_bundle_is_installed_by_everybody_who_accepts_the_key(store: Layout, marks: Marks | None) -> None:
    made = put_signed(store, "1.0.0", marks=marks)
    for name in ("1.0.0", COMMIT, made.digest):
        assert registry.get(store, name, "it", SIGNERS)[1].digest == made.digest
    assert put_signed(store, "1.0.0", marks=marks).digest == made.digest, "publishing again changes nothing"
    assert put(store, "2.0.0", marks).digest != made.digest
    assert len(referrers(store, made.digest)) == 1


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_who_signs_a_bundle_in_the_list_takes_no_tag_of_it(store: Layout, version: str) -> None:
    registry.list_in(store, bundle(version="1.0.0"), None)
    listed = bundle({"x": 1}, version)
    registry.list_in(store, listed, None)
    made, before = listed.documents(None)[2], {tag: store.digest(tag) for tag in store.tags()}
    assert made.digest in before.values()
    state(store, made, [("ab12", signer(new_key("ci")))], lambda: [b"{}"])
    assert len(referrers(store, made.digest)) == 1
    assert before.items() <= {tag: store.digest(tag) for tag in store.tags()}.items()


def test_a_bundle_that_is_there_can_be_signed_later(store: Layout) -> None:
    made = put(store, "1.0.0", None)
    with pytest.raises(DeployFailed, match="nobody has signed it"):
        registry.get(store, "1.0.0", "it", SIGNERS)
    assert put_signed(store, "1.0.0").digest == made.digest
    assert registry.get(store, "1.0.0", "it", SIGNERS)[1].digest == made.digest


def beside(store: Layout, manifest: Manifest, bundle: bytes) -> None:
    """Anybody may put anything beside a manifest."""
    made = referrer(b"{}", manifest.descriptor(), signer(new_key("x")), SIGNATURE)
    document = json.loads(made.manifest.data)
    blob = Blob.of(bundle)
    document["layers"] = [{"mediaType": BUNDLE, "digest": blob.digest, "size": blob.size}]
    changed = Manifest(encode(document), made.manifest.media_type)
    say_once(store, manifest.digest, None, lambda: [Referrer(changed, (*made.blobs, blob))])


def signed_bundle(manifest: Manifest, key: str = "ci", predicate: str = SIGNATURE) -> dict[str, Any]:
    """A signature as it lies beside a bundle."""
    subject = [{"digest": {"sha256": manifest.digest.removeprefix("sha256:")}}]
    said = {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": predicate, "predicate": {}}
    data = json.dumps(said).encode()
    found: dict[str, Any] = json.loads(bundle_beside(data, signer(new_key(key))(data)))
    return found


def payload_of(manifest: Manifest) -> str:
    return str(signed_bundle(manifest)["dsseEnvelope"]["payload"])


def changed(found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**found, "dsseEnvelope": {**found["dsseEnvelope"], **more}}


OTHER_BUNDLE = Manifest(b"another", OCI_MANIFEST)
NOT_ACCEPTED, UNREADABLE, NOBODY = (
    "a key that the policy does not accept",
    "none that is understood",
    "nobody has signed it",
)


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda made: signed_bundle(made, "a stranger's"), NOT_ACCEPTED),
        (lambda made: changed(signed_bundle(made), signatures=[]), NOT_ACCEPTED),
        (lambda made: changed(signed_bundle(OTHER_BUNDLE), payload=payload_of(made)), NOT_ACCEPTED),
        (lambda made: changed(signed_bundle(made), signatures=7), UNREADABLE),
        (lambda made: changed(signed_bundle(made), payload=b64encode(b"[]").decode()), UNREADABLE),
        (lambda made: changed(signed_bundle(made), payload="?"), UNREADABLE),
        (lambda made: {"dsseEnvelope": {}}, UNREADABLE),
        (lambda made: signed_bundle(OTHER_BUNDLE), NOBODY),
        (lambda made: signed_bundle(made, predicate="https://slsa.dev/provenance/v1"), NOBODY),
        (lambda made: {**signed_bundle(made), "verificationMaterial": {}}, None),
    ],
)  # fmt: skip
def test_what_nobody_signed_whom_the_policy_accepts_is_refused(
    store: Layout, forge: Callable[[Manifest], dict[str, Any]], why: str | None
) -> None:
    made = put(store, "1.0.0", None)
    beside(store, made, json.dumps(forge(made)).encode())
    if why is None:
        assert registry.get(store, "1.0.0", "it", SIGNERS)[1].digest == made.digest, "by a key, whatever is beside it"
        return
    with pytest.raises(DeployFailed, match=why):
        registry.get(store, "1.0.0", "it", SIGNERS)
    # A forged one beside a true one hides it not.
    put_signed(store, "1.0.0")
    assert registry.get(store, "1.0.0", "it", SIGNERS)[1].digest == made.digest


def test_the_signed_bundle_of_another_version_is_refused(store: Layout) -> None:
    store.put_manifest(put_signed(store, "1.0.0"), "2.0.0")
    with pytest.raises(DeployFailed, match="leads to the bundle of version"):
        registry.get(store, "2.0.0", "it", SIGNERS)


def test_a_policy_file_says_whose_bundles_are_installed(tmp_path: Path) -> None:
    (tmp_path / "ci.pub").write_bytes(public_pem(new_key()))
    policy = tmp_path / "policy.yaml"
    policy.write_text("trust: {accept: [{key: ci.pub}]}\n")
    (key,) = vouchers_of({}, of_file(policy, "policy.yaml")).signatures.keys
    assert key.der == public_key(new_key()).der
    for text, why in (
        ("trust: {accept: [{key: no.pub}]}\n", "There is no file no.pub"),
        ("trust: {key: required}\n", "this run has none"),
        ("trust: {}\n", "names nobody to believe"),
        ("{}\n", "says nothing of whom to believe"),
        ("trust: {accept: [1]}\n", "policy.yaml:1"),
    ):
        policy.write_text(text)
        with pytest.raises(BadConfiguration) as error:
            vouchers_of({}, of_file(policy, "policy.yaml"))
        assert why in str(error.value) + str(error.value.place)
    with pytest.raises(BadConfiguration, match="cannot be read"):
        of_file(tmp_path / "nowhere", "nowhere")


# --- signed by pipelines ------------------------------------------------------------------------------------------


def pipelines(pki: Instance, **more: Any) -> Vouchers:
    accepted = IdentitySigner("github", "acme/shop", **{"refs": ("refs/heads/main",), **more})
    return Vouchers(signatures=Signatures([public_key(new_key("ci"))], [accepted], Sigstore(pki.config())))


def put_by(store: Layout, pki: Instance, identity: Identity, version: str = "1.0.0") -> Manifest:
    def sign(statement: bytes) -> str:
        return json.dumps([pki.signed_by(statement, identity).entry(identity.workflow)])

    made = vouched(None, bundle(version=version), [(identity.workflow, sign)])
    return registry.put(store, made, None, lambda _: None)


def test_a_bundle_that_a_pipeline_signed_needs_no_key(store: Layout) -> None:
    pki = Instance()
    made = put_by(store, pki, PIPELINE)
    assert registry.get(store, "1.0.0", "it", pipelines(pki))[1].digest == made.digest
    assert put_by(store, pki, PIPELINE).digest == made.digest and len(referrers(store, made.digest)) == 1
    put_signed(store, "2.0.0")
    assert registry.get(store, "2.0.0", "it", pipelines(pki))[0].version == "2.0.0", "one of both is enough"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"repository": "https://github.com/evil/shop"}, "signed by a pipeline of another project"),
        ({"ref": "refs/heads/feature"}, "signed for another ref"),
        ({"ref": "refs/pull/7/merge"}, "signed for pull request 7"),
        ({"trigger": "workflow_run"}, "which strangers start"),
        ({"trigger": "issues"}, "which strangers start"),
    ],
)
def test_a_bundle_of_another_pipeline_is_refused(store: Layout, change: dict[str, str], why: str) -> None:
    pki = Instance()
    put_by(store, pki, replace(PIPELINE, **change))
    with pytest.raises(DeployFailed, match=why):
        registry.get(store, "1.0.0", "it", pipelines(pki))


def test_a_merge_request_of_a_fork_whose_branch_is_called_main_signs_no_bundle(store: Layout) -> None:
    pki, gitlab = Instance(), "https://gitlab.com"
    main = Identity(
        gitlab, f"{gitlab}/acme/shop", "refs/heads/main", "1" * 40,
        f"{gitlab}/acme/shop//.gitlab-ci.yml@refs/heads/main", "push",
    )  # fmt: skip
    accepted = IdentitySigner("gitlab", "acme/shop", ("refs/heads/main",), ".gitlab-ci.yml@refs/heads/main")
    vouchers = Vouchers(signatures=Signatures([], [accepted], Sigstore(pki.config())))
    put_by(store, pki, main)
    assert registry.get(store, "1.0.0", "it", vouchers)[0].version == "1.0.0"
    # A maintainer starts its pipeline in this project: the same in all but what started it.
    for number, trigger in enumerate(("merge_request_event", "external_pull_request_event", "parent_pipeline"), 2):
        put_by(store, pki, replace(main, trigger=trigger), f"{number}.0.0")
        with pytest.raises(DeployFailed, match="signed for a merge request"):
            registry.get(store, f"{number}.0.0", "it", vouchers)


def test_a_certificate_of_another_instance_vouches_for_nothing(store: Layout) -> None:
    put_by(store, Instance(), PIPELINE)
    with pytest.raises(DeployFailed, match="its certificate or its entry in the log is not true"):
        registry.get(store, "1.0.0", "it", pipelines(Instance()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENVELOPES = st.fixed_dictionaries({"payload": JSON | st.just(b64encode(b'{"a": 1}').decode()), "signatures": JSON})
BUNDLES = JSON | st.fixed_dictionaries({"dsseEnvelope": JSON | ENVELOPES, "verificationMaterial": JSON})


@given(BUNDLES, st.booleans(), st.booleans())
def test_whatever_lies_beside_a_bundle_ends_in_a_verdict(found: Any, ours: bool, keyed: bool) -> None:
    with TemporaryDirectory() as folder:
        store = Layout(Path(folder), "registry.test/shop")
        made = put(store, "1.0.0", None)
        if ours and isinstance(found, dict) and isinstance(found.get("dsseEnvelope"), dict):
            # Its statement is about this bundle; all the rest is what anybody may write.
            found["dsseEnvelope"]["payload"] = payload_of(made)
        if keyed and isinstance(found, dict) and isinstance(found.get("verificationMaterial"), dict):
            found["verificationMaterial"]["publicKey"] = {}
        beside(store, made, json.dumps(found).encode())
        assert not ANYBODY.judge(store, made.digest).trusted


ANYBODY = Signatures(
    [public_key(new_key("ci"))], [IdentitySigner("github", "acme/shop")], Sigstore(Instance().config())
)
