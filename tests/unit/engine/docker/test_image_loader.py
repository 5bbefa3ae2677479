"""Parents in the engine: loaded once, and only what is missing."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lineal.engine.docker import image_loader, process_identity
from lineal.engine.docker.client import Client, call_interruptibly
from lineal.engine.docker.image_loader import ImageLoader
from lineal.errors import Interrupted, MissingContent, Unreachable
from lineal.oci.types import OCI_LAYER_GZIP, Descriptor, sha256

from .conftest import Bench, MemoryStore, base_tar, parent_id, regular, tar_of

pytestmark = pytest.mark.engine


def layers(*names: str) -> list[bytes]:
    """Tars that no engine has seen."""
    return [tar_of(regular(name, uuid.uuid4().bytes)) for name in names]


def large(name: str) -> bytes:
    """One that is not cheap to send."""
    return tar_of(regular(name, random.randbytes(2 << 20)))


class Noting(Client):
    """Lists the paths that are called."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        super().__init__()

    def call(self, method: str, path: str, what: str, **options: Any) -> Any:
        self.paths.append(path)
        return super().call(method, path, what, **options)


def imported(client: Client) -> list[str]:
    """Images that this process has imported and not removed."""
    label = f"{process_identity.PROCESS}={process_identity.labels()[process_identity.PROCESS]}"
    listed = client.json("GET", "/images/json", "list", params={"filters": json.dumps({"label": [label]})})
    return [one["Id"] for one in listed]


def remove(client: Client, *ids: str) -> None:
    for id in ids:
        client.call("DELETE", f"/images/{id}", "remove")


def test_an_image_is_loaded_once_and_then_found_by_other_engines(client: Client) -> None:
    store = MemoryStore()
    image = store.image([base_tar(), *layers("a")])
    id = ImageLoader(client, lambda: None).ensure(image, store)
    assert id == parent_id(client, image)
    before = list(store.read)
    assert ImageLoader(client, lambda: None).ensure(image, store) == id
    assert store.read == before
    remove(client, id)


def test_only_the_layers_that_the_engine_lacks_are_read(client: Client) -> None:
    store = MemoryStore()
    tars = layers("a", "b", "c")
    first = store.image(tars[:2])
    ids = [ImageLoader(client, lambda: None).ensure(first, store)]
    assert len(store.read) == 2
    store.read.clear()
    second = store.image(tars)
    ids.append(ImageLoader(client, lambda: None).ensure(second, store))
    assert store.read == [second.layers[2].digest]
    remove(client, *reversed(ids))


def test_what_this_run_has_loaded_is_not_asked_for_again(client: Client) -> None:
    noting = Noting()
    paths = noting.paths
    store = MemoryStore()
    tars = layers("a", "b", "c")
    images = ImageLoader(noting, lambda: None)
    ids = [images.ensure(store.image(tars[:2]), store)]
    store.read.clear()
    paths.clear()
    image = store.image(tars)
    ids.append(images.ensure(image, store))
    assert paths.count("/images/load") == 1
    assert store.read == [image.layers[2].digest]
    # Somebody removes them: then it is asked.
    remove(client, *reversed(ids))
    ids = [images.ensure(image, store)]
    assert paths.count("/images/load") == 3
    remove(client, *ids)


def test_what_is_on_this_machine_is_sent_without_asking(client: Client) -> None:
    noting, store = Noting(), MemoryStore()
    images = ImageLoader(noting, lambda: None)
    tars = [*layers("a"), large("b")]
    ids = [images.ensure(store.image(tars[:1]), store)]
    image = store.image(tars)
    store.here.add(image.layers[1].digest)
    noting.paths.clear()
    ids.append(images.ensure(image, store))
    assert noting.paths.count("/images/load") == 1
    remove(client, *reversed(ids))


def test_a_large_lowest_layer_is_unpacked_while_it_comes(client: Client) -> None:
    noting, store = Noting(), MemoryStore()
    image = store.image([large("a"), *layers("b")])
    id = ImageLoader(noting, lambda: None).ensure(image, store)
    assert noting.paths.count("/images/create") == (client.info()["Driver"] == "overlay2")
    assert sorted(store.read) == sorted(layer.digest for layer in image.layers)
    assert imported(client) == []
    with client.reader(f"/images/{id}/get", "save") as stream, tarfile.open(fileobj=stream, mode="r|") as saved:
        assert any(one.name.endswith("manifest.json") for one in saved)
    remove(client, id)


def test_large_layers_are_unpacked_while_the_next_ones_come(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each load is the engine's to unpack; of what the steps made nothing stays but the layers of the image."""
    monkeypatch.setattr(image_loader, "_LARGE", 1 << 20)
    noting, store = Noting(), MemoryStore()
    image = store.image([*layers("a"), large("b"), *layers("c"), large("d"), large("e"), *layers("f")])
    id = ImageLoader(noting, lambda: None).ensure(image, store)
    steps = 3 if client.info()["Driver"] == "overlay2" else 0
    assert noting.paths.count("/images/load") == 2 + steps
    assert sorted(store.read) == sorted(layer.digest for layer in image.layers)
    assert client.json("GET", f"/images/{id}/json", "look")["RootFS"]["Layers"] == image.diff_ids
    assert imported(client) == []
    remove(client, id)


def test_layers_that_others_do_not_have_are_loaded_at_the_same_time(client: Client) -> None:
    both = threading.Barrier(2, timeout=60)

    class Meeting(MemoryStore):
        def blob(self, digest: str) -> Iterator[bytes]:
            if digest in self.here:
                both.wait()
            return super().blob(digest)

    store = Meeting()
    common, one, other = layers("common", "one", "other")
    images = ImageLoader(client, lambda: None)
    ids = [images.ensure(store.image([common]), store)]
    children = [store.image([common, tar]) for tar in (one, other)]
    store.here.update(child.layers[1].digest for child in children)
    with ThreadPoolExecutor(2) as pool:
        ids += pool.map(lambda child: images.ensure(child, store), children)
    remove(client, *reversed(ids))


def test_a_finished_image_is_sent_with_its_manifest(client: Client) -> None:
    """An engine with the image store of containerd knows it by its digest in registries."""
    archives: list[bytes] = []

    class Keeping(Client):
        def call(self, method: str, path: str, what: str, **options: Any) -> Any:
            if "data" in options:
                archives.append(b"".join(options["data"]))
                options["data"] = iter([archives[-1]])
            return super().call(method, path, what, **options)

    store = MemoryStore()
    image, name = store.image(layers("a")), f"lineal-test-{uuid.uuid4().hex}:latest"
    ImageLoader(Keeping(), lambda: None).load(image, store, [name])
    known = image.manifest.digest if client.in_containerd() else sha256(image.config)
    assert client.find(f"/images/{name}/json", "look")["Id"] == known  # type: ignore[index]
    with tarfile.open(fileobj=io.BytesIO(archives[-1])) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["digest"] == image.manifest.digest
    blobs = {name: data for name, data in files.items() if name.startswith("blobs/")}
    assert blobs.keys() == {f"blobs/{sha256(data).replace(':', '/')}" for data in blobs.values()}
    assert blobs.keys() >= {f"blobs/{digest.replace(':', '/')}" for digest in (entry["digest"], sha256(image.config))}
    remove(client, name)


def test_an_image_of_known_layers_costs_no_bytes(client: Client) -> None:
    store = MemoryStore()
    tars = layers("a", "b")
    ids = [ImageLoader(client, lambda: None).ensure(store.image(tars), store)]
    store.read.clear()
    ids.append(ImageLoader(client, lambda: None).ensure(store.image(tars[:1]), store))
    assert store.read == []
    remove(client, *ids)


def test_two_threads_load_one_parent_once(client: Client) -> None:
    store = MemoryStore()
    image = store.image(layers("a"))
    images = ImageLoader(client, lambda: None)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(images.ensure(image, store))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert len(store.read) == 1
    remove(client, ids[0])


def test_an_image_removed_meanwhile_is_loaded_again(client: Client) -> None:
    store = MemoryStore()
    image = store.image(layers("a"))
    images = ImageLoader(client, lambda: None)
    id = images.ensure(image, store)
    remove(client, id)
    assert images.ensure(image, store) == id
    assert len(store.read) == 2
    remove(client, id)


def test_uncompressed_layers_are_taken_too(bench: Bench) -> None:
    said = uuid.uuid4().hex
    tars = [base_tar(), tar_of(regular("plain", said.encode() + b"\n"))]
    plain = [Descriptor("application/vnd.oci.image.layer.v1.tar", bench.store.add(tar), len(tar)) for tar in tars]
    bench.run("cat /plain", parent=bench.store._image(tuple(plain), [sha256(tar) for tar in tars], {}))
    assert bench.said == [said]


@pytest.mark.parametrize("made", [lambda name: layers(name)[0], large], ids=["small", "large"])
def test_a_layer_that_is_not_what_the_config_says_is_refused(client: Client, made: Callable[[str], bytes]) -> None:
    store = MemoryStore()
    tar, other = made("a"), made("b")
    plain = Descriptor("application/vnd.oci.image.layer.v1.tar", store.add(tar), len(tar))
    with pytest.raises(Unreachable, match="could not load an image"):
        ImageLoader(client, lambda: None).ensure(store._image((plain,), [sha256(other)], {}), store)
    assert imported(client) == []


def test_a_stop_ends_a_load_in_the_middle(client: Client) -> None:
    store = MemoryStore()

    def check() -> None:
        raise Interrupted("The build was interrupted.")

    with pytest.raises(Interrupted):
        ImageLoader(client, check).ensure(store.image(layers("a")), store)


def test_a_stop_ends_the_coming_of_the_lowest_layer(client: Client) -> None:
    comes, never = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def blob(self, digest: str) -> Iterator[bytes]:
            yield self.blobs[digest][:65536]
            comes.set()
            never.wait()

    def check() -> None:
        if comes.is_set():
            raise Interrupted("The build was interrupted.")

    store = Slow()
    with pytest.raises(Interrupted):
        ImageLoader(client, check).ensure(store.image([large("a")]), store)
    never.set()


def test_a_stop_does_not_wait_for_the_engine_s_answer() -> None:
    asked, never = threading.Event(), threading.Event()

    def check() -> None:
        if asked.is_set():
            raise Interrupted("The build was interrupted.")

    def work() -> None:
        asked.set()
        never.wait()

    with pytest.raises(Interrupted):
        call_interruptibly(work, check)
    never.set()


def test_what_the_engine_answers_is_given_or_raised() -> None:
    assert call_interruptibly(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        call_interruptibly(lambda: 1 // 0, lambda: None)


def test_a_large_layer_is_streamed(client: Client) -> None:
    """The store's chunks are asked for one after the other, while the engine already reads."""
    held: list[int] = []

    class Slow(MemoryStore):
        def blob(self, digest: str) -> Iterator[bytes]:
            for number in range(64):
                held.append(number)
                yield bytes(self.blobs[digest][number * (1 << 16) : (number + 1) * (1 << 16)])

    store = Slow()
    tar = tar_of(regular("big", time.time_ns().to_bytes(8, "big") + bytes((64 << 16) - 8 - 512 - 10240)))
    tar = tar.ljust(64 << 16, b"\0")[: 64 << 16]
    plain = Descriptor("application/vnd.oci.image.layer.v1.tar", store.add(tar), len(tar))
    id = ImageLoader(client, lambda: None).ensure(store._image((plain,), [sha256(tar)], {}), store)
    assert held == list(range(64))
    remove(client, id)


def test_a_finished_image_can_be_pushed_from_an_engine_that_had_its_layers_unpacked_only(client: Client) -> None:
    """Containerd keeps layers packed and unpacked, and may have these without those."""
    store = MemoryStore()
    tars = layers("a", "b")
    first = store.image(tars)
    ids = [ImageLoader(client, lambda: None).ensure(first, store)]
    # The same layers, packed otherwise: as if another builder had made them.
    again = [gzip.compress(tar, 9, mtime=1) for tar in tars]
    descriptors = tuple(Descriptor(OCI_LAYER_GZIP, store.add(data), len(data)) for data in again)
    image = store._image(descriptors, [sha256(tar) for tar in tars], {"Labels": {"a": "b"}})
    name = f"lineal-test-{uuid.uuid4().hex}:latest"
    ImageLoader(client, lambda: None).load(image, store, [name])
    with client.reader(f"/images/{name}/get", "save") as stream:
        data = stream.read()
    with tarfile.open(fileobj=io.BytesIO(data)) as saved:
        assert json.load(saved.extractfile("manifest.json"))[0]["RepoTags"] == [name]  # type: ignore[arg-type]
        names = set(saved.getnames())
    if client.in_containerd():
        assert {f"blobs/{one.digest.replace(':', '/')}" for one in descriptors} <= names
    remove(client, name, *ids)


@pytest.mark.parametrize("upper", [True, False], ids=["upper", "lowest"])
def test_a_load_that_was_broken_off_is_done_again(client: Client, upper: bool) -> None:
    """Containerd lists an image from its first byte on."""
    store = MemoryStore()
    image = store.image([base_tar(), *layers("a")] if upper else [large("a"), *layers("b")])
    digest = image.layers[int(upper)].digest
    lost = store.blobs.pop(digest)
    with pytest.raises(MissingContent):
        ImageLoader(client, lambda: None).ensure(image, store)
    assert imported(client) == []
    store.blobs[digest] = lost
    id = ImageLoader(client, lambda: None).ensure(image, store)
    body = {"Image": id, "Cmd": ["-"]}
    made = client.json("POST", "/containers/create", "create", body=body)["Id"]
    client.call("DELETE", f"/containers/{made}", "remove")
    remove(client, id)
