"""Mirrors of Docker Hub: how they are written, and what is asked where."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Store
from lineal.oci.reference import DOCKER_HUB
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.store.layout import Layout
from lineal.store.mirror import Mirror, MirroredStore, Mirrors, parse_mirror
from lineal.store.open import StoreOpener
from lineal.store.registry.client import Registry
from tests.unit.stages.workbench import MemoryStore
from tests.unit.store.conftest import Fake, environ

Start = Callable[[Any], Fake]


@pytest.mark.parametrize(
    ("text", "mirror", "repository"),
    [
        ("mirror.example.com", Mirror("mirror.example.com"), "library/debian"),
        ("https://mirror.example.com/", Mirror("mirror.example.com"), "library/debian"),
        (" https://Mirror.Example.com:5000 ", Mirror("mirror.example.com:5000"), "library/debian"),
        ("http://10.0.0.5:5000", Mirror("10.0.0.5:5000", "", insecure=True), "library/debian"),
        ("http://mirror", Mirror("mirror:80", "", insecure=True), "library/debian"),
        ("harbor.example.com/hub/proxy/", Mirror("harbor.example.com", "hub/proxy"), "hub/proxy/library/debian"),
    ],
)
def test_a_mirror_as_people_write_it(text: str, mirror: Mirror, repository: str) -> None:
    assert parse_mirror(text) == mirror
    assert mirror.repository("library/debian") == repository


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "ftp://mirror.example.com", "https://", "https://me:hunter2@mirror.example.com", "https://[",
        "a b.c", "mirror.example.com:99999", "mirror.example.com/Up", "mirror.example.com?x=hunter2",
        "https://m.example.com/#x",
    ],
)  # fmt: skip
def test_what_is_no_mirror_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadConfiguration, match="is not the address of a registry") as error:
        parse_mirror(text)
    assert "hunter2" not in str(error.value)


class Broken(MemoryStore):
    """A registry that cannot be used; counts who tries."""

    tried = 0

    def manifest(self, reference: str) -> Manifest | None:
        self.tried += 1
        raise Unreachable("It is down.", id="LN-4008")


def mirrored(home: Store, *stores: Store, notes: list[str] | None = None) -> MirroredStore:
    by_host = {f"m{number}.example.com": store for number, store in enumerate(stores)}
    said = [] if notes is None else notes
    return MirroredStore(home, Mirrors(list(by_host), list, said.append), lambda mirror: by_host[mirror.host])


def image(store: Store, text: str) -> Manifest:
    config = Blob.of(text.encode())
    store.put_blob(config)
    document = {"config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(), "layers": []}
    manifest = Manifest(json.dumps(document).encode(), OCI_MANIFEST)
    store.put_manifest(manifest, "t")
    return manifest


def content(store: Store, manifest: Manifest) -> bytes:
    return b"".join(store.blob(manifest.json["config"]["digest"]))


def test_the_first_mirror_that_has_it_counts() -> None:
    home, empty, second = MemoryStore(), MemoryStore(), MemoryStore()
    image(home, "of the hub")
    wanted = image(second, "of a mirror")
    store = mirrored(home, empty, second)
    assert store.manifest("t") == wanted
    assert store.digest("t") == wanted.digest
    assert store.has_blob(wanted.json["config"]["digest"])
    assert content(store, wanted) == b"of a mirror"


def test_what_no_mirror_has_comes_from_docker_hub() -> None:
    home = MemoryStore()
    wanted = image(home, "of the hub")
    store = mirrored(home, MemoryStore())
    assert store.manifest("t") == wanted
    assert content(store, wanted) == b"of the hub"
    assert store.manifest("none") is None
    assert not store.has_blob("sha256:" + "0" * 64)


def test_a_mirror_that_cannot_be_used_is_passed_over_once_and_said(tmp_path: Path) -> None:
    home, broken, notes = MemoryStore(), Broken(), list[str]()
    wanted = image(home, "of the hub")
    store = mirrored(home, broken, notes=notes)
    assert store.manifest("t") == wanted
    assert store.manifest("t") == wanted
    assert content(store, wanted) == b"of the hub"
    assert broken.tried == 1
    assert notes == ["The mirror m0.example.com is passed over, and Docker Hub asked itself. It is down."]


def test_docker_hub_is_named_only_where_no_mirror_is_left() -> None:
    home, second, notes = MemoryStore(), MemoryStore(), list[str]()
    wanted = image(second, "of the second")
    store = mirrored(home, Broken(), second, notes=notes)
    assert store.manifest("t") == wanted
    assert notes == ["The mirror m0.example.com is passed over. It is down."]


def opener(home: Path, named: Sequence[str], of_engine: Callable[[], Sequence[str]] = list) -> StoreOpener:
    notes: list[str] = []
    return StoreOpener(home, environ(home), mirrors=Mirrors(named, of_engine, notes.append))


def opened(opener: StoreOpener, reference: str) -> list[str]:
    """The addresses that are asked, in order."""
    store, _ = opener.base(reference, Layout(opener.workdir / "store"))
    return [*(each.address for _, each in getattr(store, "_stores", [])), store.address]


@pytest.mark.parametrize(
    "reference", ["debian:trixie", "library/debian", "docker.io/debian", "index.docker.io/library/debian"]
)
def test_images_of_docker_hub_are_asked_for_at_the_mirrors(tmp_path: Path, reference: str) -> None:
    found = opened(opener(tmp_path, ["one.example.com", "two.example.com/hub"]), reference)
    assert found == [
        "one.example.com/library/debian", "two.example.com/hub/library/debian", f"{DOCKER_HUB}/library/debian"
    ]  # fmt: skip


def test_images_of_other_registries_are_not(tmp_path: Path) -> None:
    def of_engine() -> list[str]:
        raise AssertionError("the engine is asked for nothing")

    made = opener(tmp_path, [], of_engine)
    assert opened(made, "ghcr.io/a/b:1") == ["ghcr.io/a/b"]
    made.image("debian")
    opener(tmp_path, ["mirror.example.com"], of_engine).base("debian", Layout(tmp_path / "store"))


def test_the_engine_s_mirrors_count_where_none_is_named(tmp_path: Path) -> None:
    asked = threading.Event()

    def of_engine() -> list[str]:
        assert not asked.is_set()
        asked.set()
        return ["https://engine.example.com/", "nonsense://x", "https://registry-1.docker.io"]

    made = opener(tmp_path, [], of_engine)
    for _ in range(2):
        assert opened(made, "debian") == ["engine.example.com/library/debian", f"{DOCKER_HUB}/library/debian"]


def test_a_mirror_gets_its_own_credentials_and_never_docker_hub_s(fake: Start, tmp_path: Path) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        return (404, {}, b"") if "authorization" in headers else (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")

    server = fake(answer)
    secret, own = (base64.b64encode(text.encode()).decode() for text in ("me:of-the-hub", "me:of-the-mirror"))
    auths = {"https://index.docker.io/v1/": {"auth": secret}, server.host: {"auth": own}}
    (tmp_path / ".docker").mkdir()
    for known, sent in ((auths, {f"Basic {own}"}), ({"https://index.docker.io/v1/": {"auth": secret}}, set())):
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": known}))
        server.seen.clear()
        store, tag = opener(tmp_path, [f"http://{server.host}"]).base("debian", Layout(tmp_path / "store"))
        assert isinstance(store, MirroredStore)
        mirror = store._stores[0][1]
        assert isinstance(mirror, Registry)
        if sent:
            assert mirror.manifest(tag) is None
        else:
            with pytest.raises(Unreachable):
                mirror.manifest(tag)
        assert {headers["authorization"] for _, _, headers in server.seen if "authorization" in headers} == sent
