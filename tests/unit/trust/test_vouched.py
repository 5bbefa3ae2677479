"""Stages that pipelines have signed: believed by the policy of the commit, and verified once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lineal.oci.image import encode
from lineal.oci.types import OCI_INDEX, Manifest
from lineal.store.record import PREFIX
from lineal.store.statement import Builder
from lineal.trust.identity import Identity, Run
from lineal.trust.policy import IdentitySigner
from lineal.trust.signed import signer
from lineal.trust.sigstore_bundle import Sigstore, Vouched
from lineal.trust.vouched import VouchedStages
from tests.unit.stages.workbench import MemoryStore, record
from tests.unit.trust.signing import STORE, evidence, new_key, signed_stage
from tests.unit.trust.sigstore_pki import PIPELINE, Instance

OURS = Instance()
SIGSTORE = Sigstore(OURS.config())
MAIN = IdentitySigner("github", "acme/shop", ("refs/heads/main",))
BRANCH = replace(PIPELINE, ref="refs/heads/feature", commit=record().commits[0])


class Unasked(Sigstore):
    def identity(self, statement: bytes, vouched: Vouched) -> Identity:
        raise AssertionError("it was verified before")


def vouched(folder: Path, *, sigstore: Sigstore = SIGSTORE, run: Run | None = None) -> VouchedStages:
    run = run or Run(False, None, "", lambda _: True)
    return VouchedStages([MAIN], sigstore, folder / "cache", run)


def by(identity: Identity = PIPELINE, instance: Instance = OURS) -> Callable[[bytes], str]:
    return lambda statement: json.dumps([instance.signed_by(statement, identity).entry("ci")])


def reason(verifier: VouchedStages, store: MemoryStore, index: Manifest, repository: str = STORE) -> str:
    verdict = verifier.judge(evidence(store, index, repository))
    return "" if verdict.trusted else verdict.reason


def test_a_stage_of_an_accepted_pipeline_is_believed_and_verified_once(tmp_path: Path) -> None:
    store = MemoryStore()
    index = signed_stage(store, sign=by())
    verdict = vouched(tmp_path).judge(evidence(store, index))
    assert verdict.trusted
    assert verdict.reason == "signed by github.com/acme/shop/.github/workflows/ci.yml@refs/heads/main"
    again = vouched(tmp_path, sigstore=Unasked(OURS.config()))
    assert again.judge(evidence(store, index)) == verdict
    # What is remembered is who it was; the policy is asked each time.
    other = replace(again, signers=[replace(MAIN, refs=("refs/tags/*",))])
    assert reason(other, store, index) == "signed for another ref"
    with pytest.raises(AssertionError):
        vouched(tmp_path, sigstore=Unasked(Instance().config())).judge(evidence(store, index))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"reason": "{}", "footing": null}', b"\xff"])
def test_what_is_remembered_and_spoiled_is_verified_again(tmp_path: Path, content: bytes) -> None:
    store = MemoryStore()
    index = signed_stage(store, sign=by())
    assert reason(vouched(tmp_path), store, index) == ""
    (kept,) = (tmp_path / "cache/trust").glob("*/*")
    kept.write_bytes(content)
    assert reason(vouched(tmp_path), store, index) == ""
    assert kept.read_bytes() != content


def test_a_directory_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    store = MemoryStore()
    assert reason(vouched(tmp_path), store, signed_stage(store, sign=by())) == ""


@pytest.mark.parametrize(
    ("sign", "why"),
    [
        (signer(new_key()), "no pipeline has signed it"),
        (by(instance=Instance()), "its certificate or its entry in the log is not true"),
        (by(replace(PIPELINE, repository="https://github.com/evil/shop")), "signed by a pipeline of another project"),
        (by(BRANCH), "signed for another ref"),
        (lambda _: "[1]", "its record is not one that Lineal writes"),
    ],
)
def test_any_other_stage_is_not(tmp_path: Path, sign: Callable[[bytes], str], why: str) -> None:
    store = MemoryStore()
    assert reason(vouched(tmp_path), store, signed_stage(store, sign=sign)) == why


def test_one_of_several_signatures_is_enough(tmp_path: Path) -> None:
    def sign(statement: bytes) -> str:
        entries = [OURS.signed_by(statement, BRANCH).entry("x"), OURS.signed_by(statement).entry("y")]
        return json.dumps([*json.loads(signer(new_key())(statement)), *entries])

    store = MemoryStore()
    assert reason(vouched(tmp_path), store, signed_stage(store, sign=sign)) == ""


def test_a_signed_statement_counts_for_its_own_stage_and_store_only(tmp_path: Path) -> None:
    store = MemoryStore()
    index = signed_stage(store, sign=by())
    assert reason(vouched(tmp_path), store, index, "elsewhere") == "what is signed is of another store"
    document = json.loads(index.data)
    document["annotations"][PREFIX + "branch"] = "release"
    forged = Manifest(encode(document), OCI_INDEX)
    assert reason(vouched(tmp_path), store, forged) == "what is signed is about something else"


def test_what_a_branch_signed_counts_once_it_is_merged(tmp_path: Path) -> None:
    store = MemoryStore()
    index = signed_stage(store, sign=by(BRANCH))
    for merged, history, trusted in ((True, True, True), (True, False, False), (False, True, False)):
        run = Run(merged, None, "", lambda _, found=history: found)  # type: ignore[misc]
        assert (reason(vouched(tmp_path, run=run), store, index) == "") == trusted


def test_what_is_remembered_of_a_merge_counts_for_its_commit_only(tmp_path: Path) -> None:
    run = Run(True, None, "a" * 40, lambda _: True)
    one = vouched(tmp_path, run=run)
    assert one.basis != replace(one, run=replace(run, commit="b" * 40)).basis
    request = replace(run, merged=False, pull_request=5)
    assert replace(one, run=request).basis != replace(one, run=replace(request, commit="b" * 40)).basis
    alone = replace(run, merged=False)
    assert replace(one, run=alone).basis == replace(one, run=replace(alone, commit="b" * 40)).basis
    bases = [
        replace(one, signers=[replace(MAIN, **change)]).basis
        for change in ({}, {"refs": ()}, {"workflow": "x.yml"}, {"project": "a/b"}, {"forge": "gitlab"})
    ]
    assert len(set(bases)) == 5


def test_a_pull_request_believes_its_own(tmp_path: Path) -> None:
    store = MemoryStore()
    index = signed_stage(store, sign=by(BRANCH), builder=Builder(store=STORE, pull_request=7))
    assert reason(vouched(tmp_path, run=Run(False, 7, "", lambda _: True)), store, index) == ""
    assert reason(vouched(tmp_path, run=Run(False, 7, "", lambda _: False)), store, index)
    assert reason(vouched(tmp_path), store, index) == "signed for pull request 7"
