"""A store whose newest content is on its way: read at once, there when something refers to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.errors import MissingContent, Unreachable
from lineal.oci.image import image_of
from lineal.oci.types import OCI_LAYER, Blob, Descriptor, Image, sha256
from lineal.store.layout import Layout
from lineal.store.outgoing import OutgoingStore
from tests.unit.stages.workbench import MemoryStore


class Slow(MemoryStore):
    """Takes a blob when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.taken: list[str] = []
        self.refusal: Exception | None = None

    def put_blob(self, blob: Blob) -> None:
        if isinstance(blob.content, Path):
            assert self.go_on.wait(60)
        if self.refusal is not None:
            raise self.refusal
        self.taken.append(blob.digest)
        super().put_blob(blob)


@pytest.fixture
def slow() -> Iterator[Slow]:
    store = Slow()
    yield store
    store.go_on.set()


def layer(folder: Path, data: bytes = b"layer") -> Blob:
    path = folder / "layer"
    path.write_bytes(data)
    return Blob(sha256(data), len(data), path)


def image(blob: Blob) -> Image:
    config = {"rootfs": {"type": "layers", "diff_ids": [blob.digest]}}
    return image_of(config, [Descriptor(OCI_LAYER, blob.digest, blob.size)])


def put(store: OutgoingStore, blob: Blob) -> Image:
    """As a stage does: its file is gone then."""
    store.put_blob(blob)
    assert isinstance(blob.content, Path)
    blob.content.unlink()
    made = image(blob)
    store.send(made)
    return made


def test_what_is_on_its_way_can_be_read(slow: Slow, tmp_path: Path) -> None:
    store, blob = OutgoingStore(slow, tmp_path), layer(tmp_path)
    put(store, blob)
    assert store.has_blob(blob.digest) and not slow.has_blob(blob.digest)
    assert store.at_hand(blob.digest) and not slow.at_hand(blob.digest)
    assert b"".join(store.blob(blob.digest)) == b"layer"


def test_an_image_is_there_after_its_layers(slow: Slow, tmp_path: Path) -> None:
    store, blob = OutgoingStore(slow, tmp_path), layer(tmp_path)
    made = put(store, blob)
    end = time.monotonic() + 60
    while not slow.taken and time.monotonic() < end:
        time.sleep(0.01)
    assert (slow.taken, slow.manifests) == ([sha256(made.config)], {}), "its config waits for no layer"
    slow.go_on.set()
    store.put_image(made)
    assert slow.taken == [sha256(made.config), blob.digest]
    assert list(slow.manifests) == [made.manifest.digest]
    store.arrived(made)
    assert store.shared is slow


def test_what_was_brought_is_never_fetched_again(slow: Slow, tmp_path: Path) -> None:
    slow.go_on.set()
    store, blob = OutgoingStore(slow, tmp_path), layer(tmp_path)
    store.put_image(put(store, blob))
    del slow.blobs[blob.digest]
    assert b"".join(store.blob(blob.digest)) == b"layer"


def test_a_directory_has_it_already(tmp_path: Path) -> None:
    store, blob = OutgoingStore(Layout(tmp_path / "store"), tmp_path), layer(tmp_path)
    made = put(store, blob)
    assert not store.at_hand(blob.digest), "the store itself is as near"
    store.put_image(made)
    assert b"".join(store.blob(blob.digest)) == b"layer"
    assert list((tmp_path / "outgoing").iterdir()) == []


def test_an_upload_that_fails_is_told_to_whom_it_concerns(slow: Slow, tmp_path: Path) -> None:
    slow.go_on.set()
    slow.refusal = Unreachable("No space.", id="LN-4001")
    store, blob = OutgoingStore(slow, tmp_path), layer(tmp_path)
    made = put(store, blob)
    for ask in (store.put_image, store.arrived):
        with pytest.raises(Unreachable, match="No space"):
            ask(made)
    slow.refusal = None
    blob = layer(tmp_path)
    store.put_image(put(store, blob))
    assert slow.has_blob(blob.digest), "it is tried anew when it is made again"


def test_what_was_lost_meanwhile_is_brought_when_it_is_made_again(slow: Slow, tmp_path: Path) -> None:
    slow.go_on.set()
    store = OutgoingStore(slow, tmp_path)
    store.put_image(put(store, layer(tmp_path)))
    slow.blobs.clear()
    blob = layer(tmp_path)
    store.put_image(put(store, blob))
    assert slow.has_blob(blob.digest)


def test_an_image_that_was_not_made_here_is_put_at_once(slow: Slow, tmp_path: Path) -> None:
    made = image_of({"rootfs": {"type": "layers", "diff_ids": []}}, [])
    store = OutgoingStore(slow, tmp_path)
    store.arrived(made)
    assert store.shared is slow and slow.manifests == {}
    store.put_image(made)
    assert list(slow.manifests) == [made.manifest.digest]


def test_what_is_nowhere_is_missing(slow: Slow, tmp_path: Path) -> None:
    with pytest.raises(MissingContent):
        list(OutgoingStore(slow, tmp_path).blob(sha256(b"?")))
