"""Deleting from every kind of store, and what is swept away from a directory while others write to it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.types import OCI_INDEX, Blob, Manifest
from lineal.store.layout import Layout
from lineal.store.read_through import ReadThroughStore
from lineal.store.registry.client import Registry
from tests.registries.faults import TagsFirst
from tests.registries.proxy import proxy, refusal
from tests.unit.store.conftest import Fake, Tokens, basic, manifest_of

DIGEST = "sha256:" + "a" * 64


def index_of(*manifests: Manifest) -> Manifest:
    entries = [manifest.descriptor().to_json() for manifest in manifests]
    return Manifest(
        json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode(), OCI_INDEX
    )


def test_a_manifest_goes_with_all_its_tags_and_nothing_else(store: Store) -> None:
    gone, stays = manifest_of(store, '{"a": 1}'), manifest_of(store, '{"a": 2}')
    for tag in ("one", "two"):
        store.put_manifest(gone, tag)
    store.put_manifest(stays, "three")
    store.delete(gone.digest)
    assert store.tags() == ["three"]
    assert (store.digest("one"), store.manifest("two")) == (None, None)
    assert store.manifest("three") == stays
    store.delete(gone.digest)
    store.put_manifest(gone, "one")
    assert store.manifest("one") == gone


def test_a_store_that_does_not_exist_has_nothing_to_delete(store: Store) -> None:
    store.delete(DIGEST)
    assert store.sweep() in (None, 0)


def test_a_private_store_deletes_its_own_only(tmp_path: Path) -> None:
    lower, upper = Layout(tmp_path / "lower"), Layout(tmp_path / "upper", partial=True)
    published = manifest_of(lower)
    lower.put_manifest(published, "tag")
    ReadThroughStore(upper, lower).delete(published.digest)
    assert lower.tags() == ["tag"]


def test_a_token_for_deleting_is_asked_for(
    token_registry: tuple[str, Tokens], open_registry: Callable[..., Registry], tmp_path: Path
) -> None:
    host, tokens = token_registry
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {host: {"auth": basic()}}}))
    registry = open_registry(host)
    manifest = manifest_of(registry)
    registry.put_manifest(manifest, "tag")
    registry.delete(manifest.digest)
    assert registry.digest("tag") is None
    assert any("delete" in scope for scope in tokens.asked[-1])


UNSUPPORTED = b'{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}'


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (405, UNSUPPORTED, "does not allow to delete stages of team/app (status 405) and says: 'The operation"),
        (400, UNSUPPORTED, "the registry's own means, which docs/store.md names"),
        (501, b"", "does not allow to delete stages of team/app (status 501)."),
        (403, b"", "does not let anyone delete team/app without credentials"),
    ],
)
def test_a_refusal_says_what_to_do(
    fake: Callable[[Any], Fake], open_registry: Callable[..., Registry], status: int, body: bytes, said: str
) -> None:
    registry = open_registry(fake(lambda *_: (status, {}, body)).host)
    with pytest.raises(Unreachable) as refused:
        registry.delete(DIGEST)
    assert said in str(refused.value)


def test_a_lost_answer_is_asked_for_again(
    fake: Callable[[Any], Fake], open_registry: Callable[..., Registry]
) -> None:
    answers: list[tuple[int, dict[str, str], bytes] | None] = [None, (503, {}, b""), (404, {}, b"")]
    server = fake(lambda *_: answers.pop(0))
    open_registry(server.host).delete(DIGEST)
    assert server.paths("DELETE") == [f"/v2/team/app/manifests/{DIGEST}"] * 3


# --- directories ---


def aged(layout: Layout) -> None:
    for file in (layout.directory / "blobs/sha256").iterdir():
        os.utime(file, (0, 0))


def test_what_any_document_names_is_not_swept(tmp_path: Path) -> None:
    """An index in an index, and a document of a kind that nobody knows."""
    layout = Layout(tmp_path / "store")
    layout.put_manifest(image := manifest_of(layout))
    inner = index_of(image)
    layout.put_manifest(inner)
    layout.put_manifest(index_of(inner), "tag")
    layout.put_blob(artifact := Blob.of(b"of an artifact"))
    layout.put_manifest(
        Manifest(json.dumps({"blobs": [{"digest": artifact.digest}]}).encode(), "application/x"), "art"
    )
    layout.put_blob(waste := Blob.of(b"waste"))
    before = set((layout.directory / "blobs/sha256").iterdir())
    assert layout.sweep() == 0
    aged(layout)
    assert layout.sweep() == len(b"waste")
    assert before - set((layout.directory / "blobs/sha256").iterdir()) == {layout._file(waste.digest)}


def test_what_is_about_to_be_tagged_is_not_swept(tmp_path: Path) -> None:
    """Whoever finds a blob there does not send it again, and relies on it from then on."""
    layout, other = Layout(tmp_path / "store"), Layout(tmp_path / "other")
    blob = Blob.of(b'{"old": 1}')
    for use in (
        lambda: layout.put_blob(blob),
        lambda: layout.mount_blob(Manifest(b'{"old": 1}', "").descriptor(), other),
    ):
        layout.put_blob(blob)
        aged(layout)
        use()
        assert layout.sweep() == 0
    manifest = manifest_of(layout, '{"old": 1}')
    aged(layout)
    layout.put_manifest(manifest)
    layout.sweep()
    layout.put_manifest(index_of(manifest), "tag")


@pytest.mark.slow
def test_writers_and_sweepers_at_once_leave_whole_stages(tmp_path: Path) -> None:
    """Nothing counts as young here, so what has no tag goes at once: a tag is refused, or leads to all."""
    Layout(tmp_path).put_blob(Blob.of(b"made"))
    accepted: set[str] = set()
    done = threading.Event()

    def write(number: int) -> None:
        layout = Layout(tmp_path)
        for turn in range(40):
            try:
                image = manifest_of(layout, json.dumps({"config": turn, "of": number * (turn % 4)}))
                layout.put_manifest(image)
                layout.put_manifest(index := index_of(image), tag := f"tag-{number}-{turn}")
                accepted.add(tag)
                if turn % 2:
                    layout.delete(index.digest)
            except MissingContent:
                continue

    def sweep() -> None:
        while not done.is_set():
            Layout(tmp_path, grace=-3600).sweep()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    sweeper = threading.Thread(target=sweep)
    for thread in (sweeper, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    sweeper.join()
    layout = Layout(tmp_path)
    for tag in layout.tags():
        index = layout.manifest(tag)
        assert index is not None and tag in accepted
        for digest in index.references:
            image = layout.manifest(digest)
            assert image is not None, tag
            assert all(layout.has_blob(below) for below in image.references), tag


@pytest.mark.parametrize("status", [400, 406])
def test_tags_are_deleted_before_a_digest_where_a_registry_wants_that(
    plain_host: str, open_registry: Callable[..., Registry], status: int
) -> None:
    """Artifact Registry and Artifactory."""
    answer = refusal(status, "GOOGLE_MANIFEST_DANGLING_TAG", "Manifest is still referenced by tag: one")
    with proxy(plain_host, quirk := TagsFirst(answer)) as server:
        registry = open_registry(server.host, f"tags-first-{status}")
        manifest = manifest_of(registry)
        for tag in ("one", "two"):
            registry.put_manifest(manifest, tag)
        with pytest.raises(Unreachable, match="still referenced by tag: one"):
            registry.delete(manifest.digest)
        assert quirk.order == []
        registry.delete(manifest.digest, ["two", "one"])
        assert quirk.order == ["two", "one", manifest.digest]
        assert registry.digest(manifest.digest) is None


def test_a_registry_that_deletes_neither_digests_nor_tags_says_so(
    open_registry: Callable[..., Registry], fake: Callable[..., Fake]
) -> None:
    server = fake(lambda *_: (406, {}, b'{"errors": [{"code": "X", "message": "Not Acceptable"}]}'))
    with pytest.raises(Unreachable, match=r"does not allow to delete stages of team/app \(status 406\)"):
        open_registry(server.host).delete(DIGEST, ["one", "two"])
    assert server.paths("DELETE") == [f"/v2/team/app/manifests/{name}" for name in (DIGEST, "one")]
