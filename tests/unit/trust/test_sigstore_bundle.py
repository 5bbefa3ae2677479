"""What an instance of Sigstore vouches for, and everything that it does not."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.trust.sigstore_bundle import Sigstore, Vouched, vouched_signatures
from tests.unit.trust.sigstore_pki import PIPELINE, Instance, without

STATEMENT = json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicateType": "x"}).encode()
OURS, THEIRS = Instance(), Instance()
SIGSTORE = Sigstore(OURS.config())


def test_the_identity_of_a_pipeline_is_read_out_of_what_it_signed() -> None:
    assert SIGSTORE.identity(STATEMENT, OURS.signed_by(STATEMENT)) == PIPELINE
    long = replace(PIPELINE, ref="refs/heads/" + "é" * 200)
    assert SIGSTORE.identity(STATEMENT, OURS.signed_by(STATEMENT, long)) == long


@pytest.mark.parametrize(
    "make",
    [
        lambda: THEIRS.signed_by(STATEMENT),
        lambda: OURS.signed_by(STATEMENT, minutes=-10),
        lambda: OURS.vouch(STATEMENT, seconds=3600),
        lambda: OURS.vouch(STATEMENT, seconds=-3600),
        lambda: OURS.signed_by(STATEMENT, without=("sct",)),
        lambda: OURS.signed_by(STATEMENT, logged_by=THEIRS.certificates),
        lambda: Instance(ca=OURS.ca).vouch(STATEMENT),
        lambda: OURS.vouch(STATEMENT, logged=b"{}"),
        lambda: OURS.signed_by(STATEMENT + b" "),
        lambda: replace(OURS.signed_by(STATEMENT), signature=OURS.signed_by(STATEMENT).signature),
        lambda: without(OURS.signed_by(STATEMENT), "tlogEntries", 0),
        lambda: without(OURS.signed_by(STATEMENT), "tlogEntries"),
        lambda: without(OURS.signed_by(STATEMENT), "tlogEntries", 0, "inclusionProof"),
        lambda: without(OURS.signed_by(STATEMENT), "tlogEntries", 0, "inclusionPromise"),
        lambda: without(OURS.signed_by(STATEMENT), "tlogEntries", 0, "inclusionProof", "checkpoint"),
        lambda: without(OURS.signed_by(STATEMENT), "certificate"),
        lambda: replace(OURS.signed_by(STATEMENT), material={"publicKey": {"hint": ""}}),
        lambda: OURS.signed_by(STATEMENT, without=("14",)),
        lambda: OURS.signed_by(STATEMENT, without=("8",)),
        lambda: replace(OURS.signed_by(STATEMENT), material={}),
    ],
    ids=[
        "another CA", "expired", "signed after it expired", "signed before it was valid", "no SCT",
        "the SCT of another log", "the entry of another Rekor", "the entry of another statement",
        "another statement", "another signature", "no entry", "no entries", "no proof", "no promise",
        "no checkpoint", "no certificate", "a key", "no ref", "no issuer", "nothing",
    ],
)  # fmt: skip
def test_what_is_not_true_is_refused(make: Callable[[], Vouched]) -> None:
    with pytest.raises(ValueError):
        SIGSTORE.identity(STATEMENT, make())


def test_a_signature_stands_in_an_envelope_and_comes_out_again() -> None:
    vouched = OURS.signed_by(STATEMENT)
    text = json.dumps([{"keyid": "ab", "sig": "AA=="}, vouched.entry("a pipeline")])
    assert vouched_signatures(text) == [vouched]
    assert len(vouched_signatures(json.dumps([vouched.entry("x")] * 20))) == 16


@pytest.mark.parametrize(
    "text", ["", "1", "{", '[{"material": 1, "sig": ""}]', '[{"material": {}, "sig": "?"}]', "[1]"]
)
def test_what_is_no_list_of_signatures_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        vouched_signatures(text)


def test_another_statement_and_other_material_are_other_questions() -> None:
    vouched = OURS.signed_by(STATEMENT)
    asked = [(vouched, STATEMENT), (vouched, STATEMENT + b" "), (without(vouched, "tlogEntries"), STATEMENT),
             (replace(vouched, signature=b""), STATEMENT)]  # fmt: skip
    assert len({one.digest(statement) for one, statement in asked}) == 4
    assert len({one.name for one in (SIGSTORE, Sigstore(THEIRS.config()), Sigstore(None))}) == 3


@pytest.mark.parametrize("config", ["x", "{}", json.dumps({"mediaType": 1})])
def test_what_is_no_trust_config_is_named(config: str) -> None:
    with pytest.raises(BadConfiguration, match="LINEAL_SIGSTORE_TRUST_CONFIG"):
        Sigstore(config).identity(STATEMENT, OURS.signed_by(STATEMENT))


def test_services_that_do_not_answer_are_said_without_the_token() -> None:
    token = f"{secrets.token_hex(9)}.e30.x"
    with pytest.raises(Unreachable, match="Sigstore did not sign") as failed:
        SIGSTORE.sign(STATEMENT, lambda: token)
    assert token not in str(failed.value) + repr(failed.value)
