"""A store and what is on its way there: uploads that nobody waits for before something rests on them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from lineal.errors import Unreachable
from lineal.oci import Listed, Store
from lineal.oci.types import Blob, Descriptor, Image, Manifest
from lineal.store.arriving import Arrivals

_UPLOADS = 4
_IMAGES = 8
CHUNK = 1 << 20


class OutgoingStore(Store):
    """Blobs that are put here are read from this machine, and go to `direct` meanwhile. All else is `direct`'s.

    Whoever refers to an image calls `put_image` first: that waits until the image is there, and raises what was wrong
    with its uploads. Files are kept until `close` where reading them again would be a download."""

    def __init__(self, direct: Store, workspace: Path) -> None:
        self.direct = direct
        self.address, self.traffic, self.directory = direct.address, direct.traffic, direct.directory
        self._folder = workspace / "outgoing"
        self._uploads = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="upload")
        self._senders = ThreadPoolExecutor(_IMAGES, thread_name_prefix="image")
        self._guard = threading.Lock()
        self._kept: dict[str, Path] = {}
        self._fetched: list[Arrivals] = []
        self._blobs: dict[str, Future[None]] = {}
        self._elsewhere: dict[str, Callable[[], Iterator[bytes]]] = {}
        self._configs: dict[str, Future[None]] = {}
        self._images: dict[str, Future[None]] = {}
        """Both by the digest of an image's manifest."""

    # --- what is on its way ---

    def expect_blobs(self, count: int) -> None:
        self.direct.expect_blobs(count)

    def put_blob(self, blob: Blob) -> None:
        """Returns at once for a file, which may be removed then."""
        if not isinstance(blob.content, Path):
            self.direct.put_blob(blob)
            return
        with self._guard:
            begun = self._blobs.get(blob.digest)
            if begun is not None and not begun.done():
                return
            kept = self._keep(blob.digest, blob.content)
            self._blobs[blob.digest] = self._uploads.submit(self._upload, replace(blob, content=kept))

    def expect(self, digest: str, arrival: Future[None], read: Callable[[], Iterator[bytes]]) -> None:
        with self._guard:
            self._blobs[digest], self._elsewhere[digest] = arrival, read

    def keep(self, fetched: Arrivals) -> bool:
        """Have blobs that came from elsewhere, and are in `direct` by now, read from this machine until `close`, and
        closed then. False when `direct` is on this machine: then they are the caller's."""
        if self.directory is not None:
            return False
        with self._guard:
            self._fetched.append(fetched)
        return True

    def send(self, image: Image) -> None:
        """Begin with it: its layers are in the store, or on their way."""
        with self._guard:
            begun = self._images.get(image.manifest.digest)
            if begun is None or begun.done():
                # It begins before what waits for it: they are begun in this order.
                self._configs[image.manifest.digest] = self._senders.submit(
                    self.direct.put_blob, Blob.of(image.config)
                )
                self._images[image.manifest.digest] = self._senders.submit(self._send, image)

    def await_blobs(self, image: Image) -> None:
        self._wait_for_layers(image)
        with self._guard:
            config = self._configs.get(image.manifest.digest)
        if config is not None:
            config.result()

    def put_image(self, image: Image) -> None:
        with self._guard:
            begun = self._images.get(image.manifest.digest)
        if begun is None:
            self._wait_for_layers(image)
            self.direct.put_image(image)
        else:
            begun.result()

    @property
    def shared(self) -> Store:
        return self.direct

    def arrived(self, image: Image) -> None:
        with self._guard:
            begun = self._images.get(image.manifest.digest)
        if begun is not None:
            begun.result()

    def close(self) -> None:
        """Give up what has not begun to move."""
        self._uploads.shutdown(wait=False, cancel_futures=True)
        self._senders.shutdown(wait=False, cancel_futures=True)
        for one in self._fetched:
            one.close()

    def _send(self, image: Image) -> None:
        self.await_blobs(image)
        self.direct.put_manifest(image.manifest)

    def _wait_for_layers(self, image: Image) -> None:
        with self._guard:
            moving = [self._blobs[layer.digest] for layer in image.layers if layer.digest in self._blobs]
        # Uploads were begun earlier, and wait for nothing.
        for one in moving:
            one.result()

    def _upload(self, blob: Blob) -> None:
        self.direct.put_blob(blob)
        if self.direct.directory is not None:
            with self._guard:
                self._kept.pop(blob.digest).unlink()

    def _keep(self, digest: str, file: Path) -> Path:
        """A name of this store's own for the file."""
        if digest not in self._kept:
            self._folder.mkdir(exist_ok=True)
            path = self._folder / digest.replace(":", "-")
            try:
                os.link(file, path)
            except OSError:
                shutil.copyfile(file, path)
            self._kept[digest] = path
        return self._kept[digest]

    # --- reading ---

    def has_blob(self, digest: str) -> bool:
        return digest in self._kept or self.direct.has_blob(digest)

    def at_hand(self, digest: str) -> bool:
        with self._guard:
            here = digest in self._kept or any(one.get(digest) for one in self._fetched)
        return here and self.directory is None

    def blob(self, digest: str) -> Iterator[bytes]:
        with self._guard:
            path = self._kept.get(digest)
            file = path.open("rb") if path else None
            fetched = next((found for one in self._fetched if (found := one.get(digest))), None)
            elsewhere = self._elsewhere.get(digest)
        if file is None:
            yield from fetched.read() if fetched else self._from(elsewhere, digest)
            return
        with file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _from(self, elsewhere: Callable[[], Iterator[bytes]] | None, digest: str) -> Iterator[bytes]:
        """From where somebody else has it, as long as it is there."""
        if elsewhere is not None:
            chunks = elsewhere()
            try:
                first = next(chunks, b"")
            except Unreachable:
                self._blobs[digest].result()
            else:
                yield first
                yield from chunks
                return
        yield from self.direct.blob(digest)

    # --- the rest ---

    def sibling(self, repository: str) -> Store | None:
        return self.direct.sibling(repository)

    def manifest(self, reference: str) -> Manifest | None:
        return self.direct.manifest(reference)

    def digest(self, reference: str) -> str | None:
        return self.direct.digest(reference)

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        self.direct.put_manifest(manifest, tag)

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        return self.direct.try_tag(manifest, tag)

    def tags(self, prefix: str = "") -> list[str]:
        return self.direct.tags(prefix)

    def listed(self, prefix: str) -> Listed:
        return self.direct.listed(prefix)

    def whole_list(self) -> list[str] | None:
        return self.direct.whole_list()

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        return self.direct.mount_blob(descriptor, source)

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        self.direct.delete(digest, tags)

    def sweep(self) -> int | None:
        return self.direct.sweep()

    def now(self) -> int:
        return self.direct.now()
