"""A real engine, a store in memory, and a base image made of static busybox."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lineal.engine import Command
from lineal.engine.docker.client import Client
from lineal.engine.docker.engine import DockerEngine
from lineal.engine.docker.image_loader import bare_config, bare_manifest
from lineal.errors import MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.types import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Image, Layer, Manifest, sha256

BUSYBOX = Path("/bin/busybox")
_OURS = os.environ.setdefault("LINEAL_TEST_IMAGES", uuid.uuid4().hex) + os.environ.get("PYTEST_XDIST_WORKER", "")
"""In every image, so that a test process, and what it starts, has those to itself that it removes at its end."""


class MemoryStore(Store if TYPE_CHECKING else object):  # type: ignore[misc]
    """As much of a `Store` as an engine uses; `read` lists the blobs it asked for, `here` those that are
    on this machine."""

    address = "layout:memory"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.read: list[str] = []
        self.here: set[str] = set()
        self.made: list[Image] = []

    def blob(self, digest: str) -> Iterator[bytes]:
        if digest not in self.blobs:
            raise MissingContent(digest, self.address)
        self.read.append(digest)
        data = self.blobs[digest]
        for start in range(0, len(data), 65536):
            yield data[start : start + 65536]

    def at_hand(self, digest: str) -> bool:
        return digest in self.here

    def add(self, data: bytes) -> str:
        self.blobs[sha256(data)] = data
        return sha256(data)

    def image(self, layers: list[bytes], config: dict[str, Any] | None = None) -> Image:
        """An image of these uncompressed tars."""
        packed = [gzip.compress(tar, 1, mtime=0) for tar in layers]
        descriptors = tuple(Descriptor(OCI_LAYER_GZIP, self.add(data), len(data)) for data in packed)
        return self._image(descriptors, [sha256(tar) for tar in layers], config or {})

    def child(self, parent: Image, layer: Layer, config: dict[str, Any] | None = None) -> Image:
        """`parent` with one more layer."""
        self.blobs[layer.digest] = layer.path.read_bytes()
        return self._image((*parent.layers, layer.descriptor()), [*parent.diff_ids, layer.diff_id], config or {})

    def _image(self, layers: tuple[Descriptor, ...], diff_ids: list[str], config: dict[str, Any]) -> Image:
        whole = {"architecture": "amd64", "os": "linux", "config": config}
        data = json.dumps(whole | {"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        about = Descriptor(OCI_CONFIG, self.add(data), len(data)).to_json()
        content = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": about,
            "layers": [x.to_json() for x in layers],
        }
        self.made.append(Image(Manifest(json.dumps(content).encode(), OCI_MANIFEST), data, layers))
        return self.made[-1]


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def directory(name: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.mtime = tarfile.DIRTYPE, mode, uid, gid, 1_000_000_000
    return info, b""


def regular(name: str, content: bytes, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), mode, 1_000_000_000
    return info, content


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = tarfile.SYMTYPE, target, 1_000_000_000
    return info, b""


def base_tar() -> bytes:
    """busybox, users, a directory tree to damage and `/var/run -> /run`."""
    programs = (
        "sh ls cat cp readlink sed false id mv rm mkdir ln touch "
        "echo env sleep chmod chown mkfifo mount printf seq dd stat head true"
    )
    return tar_of(
        *(
            directory(name)
            for name in ("bin", "etc", "run", "var", "data", "data/deep", "data/gone", "root", "dev", "proc", "sys")
        ),
        directory("tmp", 0o1777),
        regular("bin/busybox", BUSYBOX.read_bytes(), 0o755),
        *(symlink(f"bin/{program}", "busybox") for program in programs.split()),
        regular("etc/passwd", b"root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"),
        regular("etc/group", b"root:x:0:\nuser:x:1000:\n"),
        regular("etc/made", _OURS.encode()),
        # BuildKit would make these and so change the directory.
        *(regular(f"etc/{name}", b"") for name in ("hosts", "resolv.conf")),
        symlink("var/run", "/run"),
        *(regular(f"data/{name}", name.encode()) for name in ("a", "b", "deep/c", "deep/d", "gone/e")),
        regular("root/.npmrc", b"the image's own"),
    )


Members = Callable[[Layer], dict[str, tarfile.TarInfo]]
Contents = Callable[[Layer], dict[str, bytes]]
DIRECTORIES = {
    "/",
    "/bin",
    "/etc",
    "/run",
    "/var",
    "/var/run",
    "/data",
    "/data/deep",
    "/data/gone",
    "/root",
    "/tmp",
    "/dev",
    "/proc",
    "/sys",
}


@dataclass
class Bench:
    """One base image, its store, an engine and a place for layers."""

    engine: DockerEngine
    client: Client
    store: MemoryStore
    base: Image
    workspace: Path
    said: list[str] = field(default_factory=list)

    def command(self, script: str, **options: Any) -> Command:
        options = {"env": {"PATH": "/bin"}, "workdir": "/", "user": "", "network": "none"} | options
        options.setdefault("existing", DIRECTORIES.__contains__)
        return Command(["/bin/sh", "-c", script], **options)

    def run(self, script: str, *, parent: Image | None = None, **options: Any) -> Layer:
        self.said.clear()
        command = self.command(script, **options)
        return self.engine.run(parent or self.base, self.store, command, self.said.append, self.workspace)

    def on_disk(self, text: str, *folders: str) -> bytes:
        """The files below `folders` (`volumes`, `containers`) of the engine that hold `text`. Only for root."""
        root = self.client.json("GET", "/info", "ask for the engine's folder")["DockerRootDir"]
        assert Path(root).is_dir()
        return subprocess.run(
            ["grep", "-rlF", text, *(f"{root}/{one}" for one in folders)], capture_output=True
        ).stdout

    def names(self, script: str, **options: Any) -> list[str]:
        return sorted(entries_of(self.run(script, **options)))


def entries_of(layer: Layer) -> dict[str, tarfile.TarInfo]:
    """A layer's entries by name, the layer's own claims checked on the way."""
    packed = layer.path.read_bytes()
    assert (sha256(packed), len(packed)) == (layer.digest, layer.size)
    data = gzip.decompress(packed)
    assert sha256(data) == layer.diff_id
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        found = tar.getmembers()
    assert len({member.name for member in found}) == len(found), "an entry occurs twice"
    return {member.name: member for member in found}


def contents_of(layer: Layer) -> dict[str, bytes]:
    with tarfile.open(layer.path, errors="surrogateescape") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]


def parent_id(client: Client, image: Image) -> str:
    """The name that an engine has for an image that commands stand on."""
    return bare_manifest(image).digest if client.in_containerd() else sha256(bare_config(image))


@pytest.fixture(scope="session")
def client() -> Client:
    try:
        return Client()
    except Unreachable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def base(client: Client) -> Iterator[tuple[MemoryStore, Image]]:
    if not BUSYBOX.exists():
        pytest.skip("needs busybox-static")
    store = MemoryStore()
    yield store, store.image([base_tar()])
    for image in reversed(store.made):
        with contextlib.suppress(Unreachable):
            client.call("DELETE", f"/images/{parent_id(client, image)}", "remove an image")


@pytest.fixture
def bench(client: Client, base: tuple[MemoryStore, Image], tmp_path: Path) -> Iterator[Bench]:
    made = Bench(DockerEngine(), client, *base, tmp_path)
    yield made
    made.engine.close()
    assert traces(client, made.engine) == [], "something was left in the engine"


@pytest.fixture
def fresh(bench: Bench) -> DockerEngine:
    """An engine that nobody else uses."""
    return bench.engine


def traces(client: Client, engine: DockerEngine) -> list[str]:
    """Containers and volumes that an engine made and did not remove."""
    filters = {"filters": json.dumps({"label": [f"dev.lineal.run={engine.id}"]})}
    containers = client.json("GET", "/containers/json", "list", params={"all": "1", **filters})
    volumes = client.json("GET", "/volumes", "list", params=filters)["Volumes"] or []
    return [name for container in containers for name in container["Names"]] + [one["Name"] for one in volumes]


@pytest.fixture
def members() -> Members:
    return entries_of


@pytest.fixture
def contents() -> Contents:
    return contents_of
