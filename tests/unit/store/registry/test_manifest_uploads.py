"""Manifests that are sent to registries with habits: tags that may not move, answers that are lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lineal.errors import Unreachable
from lineal.oci import Conflict
from lineal.oci.types import OCI_MANIFEST, Manifest, sha256
from lineal.store.registry.client import Registry
from tests.unit.store.conftest import Fake

Open = Callable[..., Registry]
Start = Callable[[Any], Fake]
MANIFEST = Manifest(json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode(), OCI_MANIFEST)


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, errors("TAG_INVALID", "The image tag 'x' already exists")),
        (403, errors("DENIED", "requested access to the resource is denied")),
        (405, b""),
        (409, errors("TAG_IMMUTABLE", "immutable")),
        (412, errors("PRECONDITION", "configured as immutable")),
    ],
)
class TestImmutableTags:
    def server(self, fake: Start, status: int, body: bytes, existing: str | None) -> Fake:
        def answer(method: str, *_: Any) -> Any:
            if method == "HEAD":
                return (200, {"Docker-Content-Digest": existing}, b"") if existing else (404, {}, b"")
            return status, {}, body

        return fake(answer)

    def test_another_digest_under_the_tag_is_a_conflict(
        self, fake: Start, open_registry: Open, status: int, body: bytes
    ) -> None:
        server = self.server(fake, status, body, sha256(b"other"))
        with pytest.raises(Conflict, match="may not be moved"):
            open_registry(server.host).put_manifest(MANIFEST, "x")

    def test_the_same_digest_is_success(self, fake: Start, open_registry: Open, status: int, body: bytes) -> None:
        server = self.server(fake, status, body, MANIFEST.digest)
        open_registry(server.host).put_manifest(MANIFEST, "x")

    def test_no_such_tag_means_that_writing_is_refused(
        self, fake: Start, open_registry: Open, status: int, body: bytes
    ) -> None:
        server = self.server(fake, status, body, None)
        with pytest.raises(Unreachable) as error:
            open_registry(server.host).put_manifest(MANIFEST, "x")
        assert "write" in str(error.value)
        assert server.host in str(error.value)


@pytest.mark.parametrize("lost", [None, (503, {}, b"")])
def test_before_a_tag_is_tried_again_it_looks_who_was_first(fake: Start, open_registry: Open, lost: Any) -> None:
    """The first answer is lost or a failure, and meanwhile another run has published: nothing is written over it."""
    theirs = sha256(b"another run's")

    def answer(method: str, *_: Any) -> Any:
        return (200, {"Docker-Content-Digest": theirs}, b"") if method == "HEAD" else lost

    server = fake(answer)
    with pytest.raises(Conflict, match="may not be moved"):
        open_registry(server.host).put_manifest(MANIFEST, "x")
    assert len(server.paths("PUT")) == 1


def test_only_a_tag_that_is_to_be_new_is_written_on_condition(fake: Start, open_registry: Open) -> None:
    """A registry that heeds the condition would let no moving tag move."""
    server = fake(lambda *_: (201, {}, b""))
    store = open_registry(server.host)
    store.put_manifest(MANIFEST, "new")
    assert store.try_tag(MANIFEST, "new") and store.move_tag(MANIFEST, "latest")
    conditions = {path.rpartition("/")[2]: headers.get("if-none-match") for _, path, headers in server.seen}
    assert conditions == {"new": "*", "latest": None}


def test_a_tag_that_was_written_although_the_answer_was_lost_is_done(fake: Start, open_registry: Open) -> None:
    def answer(method: str, *_: Any) -> Any:
        return (200, {"Docker-Content-Digest": MANIFEST.digest}, b"") if method == "HEAD" else None

    server = fake(answer)
    open_registry(server.host).put_manifest(MANIFEST, "x")
    assert len(server.paths("PUT")) == 1
