"""The blobs that a session serves: images of the store that the daemon cannot fetch, and the files of bind mounts."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from lineal.oci import Store
from lineal.oci.image import content
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Blob, Descriptor, Image, Layer
from lineal.store.arriving import ArrivingStore
from lineal.tar import raw
from lineal.tar.compression import ChunkStream
from lineal.tar.header import DIRECTORY, END, HARDLINK, padding
from lineal.tar.layer import LayerWriter

ROOT, FILE = b"d", b"f"
"""The directory of a mount's image in which its files are (so it has mode and owner), and the name of one alone."""
_LAYOUT_BLOBS = Path("blobs", "sha256")


class SessionBlobs:
    """One build's, by digest. What must be on disk is in `workspace`; `close` removes it."""

    def __init__(self, workspace: Path, check: Callable[[], None]) -> None:
        """`check` is called between chunks and raises when the run is to stop."""
        self._workspace = workspace
        self._check = check
        self._sizes: dict[str, int] = {}
        self._opened: dict[str, Callable[[], BinaryIO]] = {}
        self._files: list[Path] = []
        self._lock = threading.Lock()

    def size(self, digest: str) -> int | None:
        return self._sizes.get(digest)

    def open(self, digest: str) -> BinaryIO:
        return self._opened[digest]()

    def close(self) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)

    def image(self, image: Image, store: Store) -> str:
        """Offer an image of the store; its layers are read only when they are asked for. Returns its digest."""
        self._bytes(image.manifest.data)
        self._bytes(image.config)
        for layer in image.layers:
            self._sizes[layer.digest] = layer.size
            arriving = store.arriving(layer.digest) if isinstance(store, ArrivingStore) else None
            self._opened[layer.digest] = arriving.open if arriving else _Stored(self, store, layer)
        return image.manifest.digest

    def directory(
        self, tar: Iterator[bytes], owner: tuple[int, int, int], platform: dict[str, str], *, single: bool = False
    ) -> str:
        """Offer an image with the files of a tar in its directory `ROOT`; of a `single` file, as `FILE` in there.
        Returns its digest."""
        layer = directory_layer(self._workspace, tar, owner, self._check, single=single)
        self._files.append(layer.path)
        return self.offer([layer], platform)

    def offer(self, layers: Sequence[Layer], platform: dict[str, str]) -> str:
        """Offer an image of layers that are files here. Returns its digest."""
        for layer in layers:
            self._sizes[layer.digest] = layer.size
            self._opened[layer.digest] = partial(_open, layer.path)
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        config = self._bytes(json.dumps({**platform, "config": {}, "rootfs": rootfs}, sort_keys=True).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": config.digest, "size": config.size},
            "layers": [layer.descriptor().to_json() for layer in layers],
        }
        return self._bytes(json.dumps(manifest, sort_keys=True).encode()).digest

    def _bytes(self, data: bytes) -> Blob:
        blob = Blob.of(data)
        self._sizes[blob.digest] = blob.size
        self._opened[blob.digest] = blob.open
        return blob

    def fetch(self, store: Store, layer: Descriptor) -> Path:
        """A layer of the store as a file: its own, where it is on this machine's disk. Raises `Unreachable` and
        `MissingContent`."""
        name = layer.digest.removeprefix("sha256:")
        if store.directory is not None:
            there = store.directory / _LAYOUT_BLOBS / name
            if there.is_file():
                return there
        path = self._workspace / f"blob-{name}-{id(self):x}"
        with self._lock:
            if path not in self._files:
                self._files.append(path)
                with path.open("wb") as file:
                    for chunk in content(store, layer):
                        self._check()
                        file.write(chunk)
        return path


def directory_layer(
    workspace: Path, tar: Iterator[bytes], owner: tuple[int, int, int], check: Callable[[], None], *,
    single: bool = False, note: Callable[[raw.Entry], None] = lambda _: None,
) -> Layer:  # fmt: skip
    """A layer with the files of a tar in its directory `ROOT`; a `single` file is `FILE` in there. `note` is told of
    each entry, as it is in the tar."""
    with LayerWriter(workspace) as writer:
        mode, uid, gid = owner
        writer.write(raw.header(ROOT, DIRECTORY, mode=mode, uid=uid, gid=gid))
        for entry, body in raw.read(io.BufferedReader(ChunkStream(tar))):
            if not entry.name:
                continue
            note(replace(entry))
            entry.name = ROOT + b"/" + (FILE if single else entry.name)
            entry.link = ROOT + b"/" + entry.link if entry.kind == HARDLINK else entry.link
            writer.write(entry.encode())
            for chunk in body:
                check()
                writer.write(chunk)
            writer.write(padding(entry.size))
        writer.write(END)
        return writer.finish()


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


class _Stored:
    """Opens a layer of the store."""

    def __init__(self, blobs: SessionBlobs, store: Store, layer: Descriptor) -> None:
        self._blobs, self._store, self._layer = blobs, store, layer

    def __call__(self) -> BinaryIO:
        return cast(BinaryIO, self._blobs.fetch(self._store, self._layer).open("rb"))
