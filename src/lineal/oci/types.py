"""The values that go in and out of a store: descriptors, manifests, blobs, layers, images; and their media types."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

from lineal.oci.platform import named
from lineal.value import dataclass

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"


ImageConfig = dict[str, Any]
"""The JSON document of an image configuration (OCI image spec, config.md): `architecture`, `os`, `rootfs`, `history`
and, under `config`, a `ContainerConfig`. Keys that Lineal does not know are kept."""


class ContainerConfig(TypedDict, total=False):
    """The `config` of an image configuration: how a container is run, with Docker's additions. Docker writes null
    for an empty list or object, so a key that is there may hold None."""

    Env: list[str] | None
    Labels: dict[str, str] | None
    WorkingDir: str
    User: str
    ExposedPorts: dict[str, dict[str, Any]] | None
    Volumes: dict[str, dict[str, Any]] | None
    StopSignal: str
    Cmd: list[str] | None
    ArgsEscaped: bool
    Entrypoint: list[str] | None
    Shell: list[str] | None
    Healthcheck: dict[str, Any]
    OnBuild: list[str] | None


def sha256(data: bytes | memoryview) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An OCI content descriptor; `digest` is `sha256:<hex>`, `size` in bytes."""

    media_type: str
    digest: str
    size: int

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """The exact bytes of an image manifest or index, as stored or to be stored."""

    data: bytes
    media_type: str

    @cached_property
    def digest(self) -> str:
        return sha256(self.data)

    @cached_property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.data)
        if not isinstance(value, dict):
            raise ValueError("a manifest is a JSON object")
        return value

    @property
    def is_index(self) -> bool:
        return self.media_type in (OCI_INDEX, DOCKER_LIST)

    @property
    def references(self) -> list[str]:
        """The digests that must be in the store beside it: config and layers, or an index's images."""
        parts = [self.json.get("config"), *self.json.get("layers", []), *self.json.get("manifests", [])]
        return [str(part["digest"]) for part in parts if isinstance(part, dict) and "digest" in part]

    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.data))


@dataclass(frozen=True, slots=True)
class Blob:
    """Content to upload, of exactly this size: bytes in memory (configs, records), a file on disk (layers), or what
    another store has, read from its beginning each time it is opened."""

    digest: str
    size: int
    content: bytes | Path | Callable[[], Iterator[bytes]]
    new: bool = False
    """Whether nobody can have had it before: then no store need be asked for it."""

    @staticmethod
    def of(data: bytes) -> Blob:
        return Blob(sha256(data), len(data), data)

    def open(self) -> BinaryIO:
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BufferedReader(_Stream(self.content()), _BUFFER)


_BUFFER = 256 * 1024


class _Stream(io.RawIOBase):
    """The chunks of a blob as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as built: a gzip file on disk, deleted with the directory that it is in."""

    path: Path
    digest: str
    size: int
    diff_id: str
    media_type: str = OCI_LAYER_GZIP

    def blob(self, *, new: bool = False) -> Blob:
        return Blob(self.digest, self.size, self.path, new)

    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


@dataclass(frozen=True)
class Image:
    """One platform's image in a store: its manifest and its config (parsed and exact)."""

    manifest: Manifest
    config: bytes
    layers: tuple[Descriptor, ...] = field(default=())
    listed_as: str | None = field(default=None, compare=False)
    """The platform that an index names it for."""

    @cached_property
    def config_json(self) -> ImageConfig:
        value = json.loads(self.config)
        if not isinstance(value, dict):
            raise ValueError("an image config is a JSON object")
        return value

    @property
    def diff_ids(self) -> list[str]:
        return list(self.config_json.get("rootfs", {}).get("diff_ids", []))

    @property
    def platform(self) -> str | None:
        """What its config says that it is for; None when it does not say so. Raises ValueError."""
        return named(self.config_json)
