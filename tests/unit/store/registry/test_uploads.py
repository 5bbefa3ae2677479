"""Blobs that are sent to registries with habits: what they may answer, and what is sent again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lineal.errors import Unreachable
from lineal.oci.types import OCI_LAYER_GZIP, OCI_MANIFEST, Blob, Descriptor, Manifest, sha256
from lineal.store.registry.client import Registry
from lineal.store.registry.tries import TRIES
from lineal.store.registry.uploads import SPOILED_TRIES
from tests.unit.store.conftest import Fake

Open = Callable[..., Registry]
Start = Callable[[Any], Fake]
BLOB = Blob.of(b"layer")
MANIFEST = Manifest(json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode(), OCI_MANIFEST)


def errors(code: str, message: str = "try again") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


class Uploading:
    """A registry that begins an upload with `begin` and answers what `ends` has in turn, the last one for ever."""

    def __init__(self, begin: int, *ends: Any, location: bool = True) -> None:
        self.begin, self.ends, self.location = begin, list(ends), location
        self.bodies: list[bytes] = []

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if method == "HEAD":
            return 404, {}, b""
        if method == "POST":
            return self.begin, {"Location": f"/up/{len(self.bodies)}"} if self.location else {}, b""
        self.bodies.append(body)
        return self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]


@pytest.mark.parametrize("begin", [200, 201, 202, 204])
@pytest.mark.parametrize("end", [200, 201, 202, 204])
def test_an_upload_may_begin_and_end_with_any_status_of_success(
    fake: Start, open_registry: Open, begin: int, end: int
) -> None:
    answers = Uploading(begin, (end, {}, b""))
    server = fake(answers)
    open_registry(server.host).put_blob(BLOB)
    assert answers.bodies == [b"layer"]
    open_registry(server.host).put_manifest(MANIFEST, "one")


def test_an_upload_that_begins_nowhere_is_one_sentence(fake: Start, open_registry: Open) -> None:
    server = fake(Uploading(202, (201, {}, b""), location=False))
    with pytest.raises(Unreachable, match="that an upload may begin, and does not say where"):
        open_registry(server.host).put_blob(BLOB)


def test_a_blob_that_is_there_when_its_upload_begins_is_not_sent(fake: Start, open_registry: Open) -> None:
    server = fake(lambda method, *_: (201, {}, b"") if method == "POST" else (200, {}, b""))
    open_registry(server.host).put_blob(BLOB)
    assert server.paths("PUT") == []


@pytest.mark.parametrize(("new", "looks"), [(False, 1), (True, 0)])
def test_only_what_may_be_there_is_looked_for_before_it_is_sent(
    fake: Start, open_registry: Open, new: bool, looks: int
) -> None:
    server = fake(Uploading(202, (201, {}, b"")))
    open_registry(server.host).put_blob(replace(Blob.of(bytes(1_000_000)), new=new))
    assert len(server.paths("HEAD")) == looks
    assert len(server.paths("PUT")) == 1


def test_uploads_that_were_begun_ahead_are_used_first(fake: Start, open_registry: Open) -> None:
    answers = Uploading(202, (201, {}, b""))
    server = fake(answers)
    store = open_registry(server.host)
    store.expect_blobs(2)
    end = time.monotonic() + 300
    while len(server.paths("POST")) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(server.paths("POST")) == 2
    for text in (b"one", b"two", b"three"):
        store.put_blob(Blob.of(text))
    assert len(server.paths("POST")) == 3
    assert answers.bodies == [b"one", b"two", b"three"]


@pytest.mark.parametrize("refused", [(201, {}, b""), (403, {}, b""), (500, {}, b"")])
def test_an_upload_that_could_not_be_begun_ahead_is_begun_anew(
    fake: Start, open_registry: Open, refused: Any
) -> None:
    answers = Uploading(202, (201, {}, b""))
    left = [refused] * (TRIES if refused[0] == 500 else 1)

    def answer(method: str, *asked: Any) -> Any:
        return left.pop() if method == "POST" and left else answers(method, *asked)

    server = fake(answer)
    store = open_registry(server.host)
    store.expect_blobs(1)
    store.put_blob(BLOB)
    assert answers.bodies == [b"layer"]


def test_what_is_new_is_looked_for_when_its_upload_was_lost(fake: Start, open_registry: Open) -> None:
    server = fake(Uploading(202, (503, {}, b""), (201, {}, b"")))
    open_registry(server.host).put_blob(replace(BLOB, new=True))
    assert len(server.paths("HEAD")) == 1


@pytest.mark.parametrize("status", [200, 202])
def test_a_mount_that_only_opens_an_upload_is_none(fake: Start, open_registry: Open, status: int) -> None:
    server = fake(Uploading(status, (201, {}, b"")))
    store = open_registry(server.host)
    assert not store.mount_blob(Descriptor(OCI_LAYER_GZIP, sha256(b"x"), 1), store.sibling("library/base"))


@pytest.mark.parametrize("code", ["BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_UNKNOWN"])
def test_an_upload_that_the_registry_spoiled_is_sent_again(fake: Start, open_registry: Open, code: str) -> None:
    answers = Uploading(202, (400, {}, errors(code)), (201, {}, b""))
    server = fake(answers)
    open_registry(server.host).put_blob(BLOB)
    assert answers.bodies == [b"layer"] * 2
    assert [path.partition("?")[0] for path in server.paths("PUT")] == ["/up/0", "/up/1"]


def test_an_upload_that_is_spoiled_each_time_says_so(fake: Start, open_registry: Open) -> None:
    answers = Uploading(202, (400, {}, errors("DIGEST_INVALID", "provided digest did not match")))
    server = fake(answers)
    with pytest.raises(Unreachable) as error:
        open_registry(server.host).put_blob(BLOB)
    assert f"answers DIGEST_INVALID to each of {SPOILED_TRIES} uploads to team/app" in str(error.value)
    assert "provided digest did not match" in str(error.value)
    assert "What was sent is right" in str(error.value)
    assert len(answers.bodies) == SPOILED_TRIES


def test_another_refusal_of_an_upload_is_final(fake: Start, open_registry: Open) -> None:
    answers = Uploading(202, (400, {}, errors("UNKNOWN", "no such thing")))
    server = fake(answers)
    with pytest.raises(Unreachable, match="no such thing"):
        open_registry(server.host).put_blob(BLOB)
    assert len(answers.bodies) == 1
