"""Marks: which keys are taken, and that a mark holds for one stage in one store as it is, byte for byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineal.errors import BadConfiguration
from lineal.oci.image import encode
from lineal.oci.types import DOCKER_LIST, OCI_INDEX, Manifest
from lineal.store.record import Record, record_documents, stage_index
from lineal.trust import Evidence, Verdict
from lineal.trust.judge import EVERYBODY, Judge
from lineal.trust.mark import MARK, UNMARKED, Marks, TrustKey, parse_keys, repository_of
from tests.unit.stages.workbench import MemoryStore, built, record

SECRET = bytes(range(7, 39))
KEY, OLD, OTHER = TrustKey(SECRET), TrustKey(bytes(range(50, 82))), TrustKey(bytes(range(99, 131)))
HERE = "registry.example.com/shop"
TIMED = replace(record(), durations=(1, 2))


def index(found: Record | None = None, text: str = "") -> Manifest:
    made, found = built(text), found or TIMED
    _, beside = record_documents(found, made.inputs, made.filesystem, made.image.manifest.digest)
    return stage_index(made.image, beside, found, made.platform)


def judged(data: bytes, *keys: TrustKey, repository: str = HERE, media_type: str = OCI_INDEX) -> Verdict:
    evidence = Evidence(Manifest(data, media_type), record(), repository, MemoryStore())
    return Marks(keys or (KEY,)).judge(evidence)


def marked(key: TrustKey = KEY, text: str = "", repository: str = HERE) -> bytes:
    return Marks([key]).marked(index(text=text), repository).data


# --- keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(), SECRET.hex().upper(), base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode().rstrip("="), f"  {SECRET.hex()}\n",
    ],
)  # fmt: skip
def test_a_key_is_32_bytes_as_hex_or_base64(text: str) -> None:
    assert parse_keys(text) == (KEY,)


def test_of_several_the_first_marks_and_all_verify() -> None:
    keys = parse_keys(f"{SECRET.hex()} {OLD.secret.hex()}\n{SECRET.hex()}")
    assert keys == (KEY, OLD)
    made = Marks(keys).marked(index(), HERE).data
    assert f"hmac-sha256:{KEY.id}:" in made.decode()
    assert judged(made, KEY).trusted and judged(marked(OLD), *keys).trusted
    assert judged(marked(OTHER), *keys) == Verdict(False, f"marked with another key than this run's ({OTHER.id})")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_variable_is_no_key(text: str) -> None:
    assert parse_keys(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "hunter2hunter2", SECRET.hex()[:-2], SECRET.hex() + "00", "0" * 64, "ab" * 32, "x" * 43,
        base64.b64encode(SECRET[:31]).decode(), SECRET.hex() + " hunter2hunter2",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse_keys(text)
    assert refused.value.exit_code == 3
    assert not any(word in str(refused.value) for word in text.split())


def test_a_key_is_in_no_text_of_its_own() -> None:
    assert SECRET.hex() not in repr(KEY) and repr(SECRET) not in repr(Marks([KEY]).__dict__)


# --- marks ------------------------------------------------------------------------------------------------------


def test_a_mark_vouches_for_the_index_that_it_was_made_for() -> None:
    assert judged(marked()) == Verdict(True, f"key {KEY.id}")
    assert json.loads(marked()).keys() == index().json.keys(), "one annotation, and nothing else"


def test_what_has_none_is_not_from_a_protected_pipeline() -> None:
    assert judged(index().data) == Verdict(False, UNMARKED)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(marked())
    change(document)
    return encode(document)


def annotated(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda found: found["annotations"].update({name: "x"})


def described(number: int, key: str) -> Callable[[dict[str, Any]], object]:
    other: dict[str, Any] = {"digest": "sha256:" + "0" * 64, "size": 1}
    return lambda found: found["manifests"][number].update({key: other.get(key, "x")})


DESCRIPTOR = ("mediaType", "digest", "size", "platform", "annotations")
CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    **{f"annotation {name}": annotated(name) for name in [*TIMED.annotations(), "dev.lineal.new"]},
    "an annotation less": lambda found: found["annotations"].pop("dev.lineal.branch"),
    **{f"{key} of manifest {number}": described(number, key) for number in (0, 1) for key in DESCRIPTOR},
    "the manifests in another order": lambda found: found["manifests"].reverse(),
    "another manifest": lambda found: found["manifests"].append(found["manifests"][0]),
    "a manifest less": lambda found: found["manifests"].pop(),
    "a descriptor's other key": lambda found: found["manifests"][0].update({"urls": ["https://evil"]}),
    "another key of the index": lambda found: found.update({"subject": found["manifests"][0]}),
    "the same key in another case": lambda found: found.update({"Manifests": []}),
    "a mark that is no text": lambda found: found["annotations"].update({MARK: 7}),
    "a mark of another kind": lambda found: found["annotations"].update({MARK: "ed25519:00:00"}),
    "a mark that is cut off": lambda found: found["annotations"].update({MARK: found["annotations"][MARK][:-1]}),
    "manifests that are none": lambda found: found.update({"manifests": ["x", "y"]}),
    "no annotations": lambda found: found.update({"annotations": None}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_the_mark_is_not_true(change: Callable[[dict[str, Any]], object]) -> None:
    assert not judged(changed(change)).trusted


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"manifests":', b'"manifests":[],"manifests":', 1),
        lambda data: data.replace(b",", b", ", 1),
        lambda data: data + b"\n",
        lambda data: data.replace(b"dev.lineal.branch", b"dev.lineal.\\u0062ranch"),
    ],
    ids=["a key twice", "white space", "a line end", "an escape"],
)
def test_bytes_in_which_another_reader_could_see_something_else_are_refused(
    change: Callable[[bytes], bytes],
) -> None:
    assert change(marked()) != marked()
    assert not judged(change(marked())).trusted


def test_a_mark_of_another_store_of_another_stage_or_kind_is_not_true() -> None:
    assert not judged(marked(), repository="registry.example.com/other").trusted
    mark = json.loads(marked())["annotations"][MARK]
    other = index(text="another image").json
    other["annotations"][MARK] = mark
    assert not judged(encode(other)).trusted
    assert not judged(marked(), media_type=DOCKER_LIST).trusted


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("registry.example.com/shop", HERE),
        ("docker.io/team/app", "registry-1.docker.io/team/app"),
        ("index.docker.io/team/app", "registry-1.docker.io/team/app"),
        ("layout:/home/a/store", "layout:"),
        ("layout:store", "layout:"),
    ],
)
def test_a_store_is_spelled_the_same_on_every_machine(address: str, named: str) -> None:
    assert repository_of(address) == named


# --- the judge --------------------------------------------------------------------------------------------------


class Says:
    basis = ""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict, self.asked = verdict, 0

    def judge(self, evidence: Evidence) -> Verdict:
        self.asked += 1
        return self.verdict


def test_one_verifier_that_vouches_is_enough_and_is_asked_once_a_digest() -> None:
    no, yes = Says(Verdict(False, "no")), Says(Verdict(True, "me"))
    judge, found = Judge([no, yes], HERE), index()
    assert [judge.judge(found, record(), MemoryStore()) for _ in range(3)] == [Verdict(True, "me")] * 3
    assert (no.asked, yes.asked) == (1, 1)
    assert judge.judge(index(text="b"), record(), MemoryStore()).trusted and no.asked == 2


def test_without_a_verifier_everybody_is_believed() -> None:
    assert not EVERYBODY.strict and EVERYBODY.judge(index(), record(), MemoryStore()).trusted
    assert Judge([Says(Verdict(False, "why"))]).judge(index(), record(), MemoryStore()) == Verdict(False, "why")
