"""A directory in the OCI Image Layout format as a store: the default outside CI, readable by other tools."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lineal.errors import BadConfiguration, MissingContent, Unreachable
from lineal.oci import Conflict, Store, Traffic
from lineal.oci.types import Blob, Descriptor, Manifest, sha256
from lineal.oci.verify import MAX_MANIFEST, is_digest, read_manifest
from lineal.store import gc
from lineal.store.layout_index import INDEX, TEMPORARY, LayoutIndex, replacing

CHUNK = 1024 * 1024
LOCK_SECONDS = 120
_MARKER, _LOCK = "oci-layout", ".lineal.lock"
_OURS = {_MARKER, INDEX, _LOCK, "blobs"}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Layout(Store):
    """Made at the first write. Files appear complete or not at all; only writers of tags need a lock."""

    directory: Path

    def __init__(
        self, directory: Path, address: str | None = None, *, partial: bool = False, grace: float = gc.GRACE
    ) -> None:
        """`partial`: manifests may refer to content in another store (the upper half of a `ReadThroughStore`).
        `grace`: seconds for which `sweep` leaves a file without a tag."""
        self.directory = directory
        self._partial = partial
        self._grace = grace
        self._blobs = directory / "blobs" / "sha256"
        self.address = address or f"layout:{directory}"
        self.traffic = Traffic()
        self._counting = threading.Lock()
        self._made = self._pointed = False
        self._index = LayoutIndex(directory / INDEX)

    def check_push(self) -> None:
        self._refuse_other_things()

    def manifest(self, reference: str) -> Manifest | None:
        self._count(requests=1)
        digest = reference if is_digest(reference) else self._tagged(reference)
        if digest is None:
            return None
        with self._disk("read"):
            try:
                with self._file(digest).open("rb") as file:
                    data = file.read(MAX_MANIFEST + 1)
            except FileNotFoundError:
                return None
        self._count(read=len(data))
        if sha256(data) != digest:
            raise self._damaged(digest)
        return read_manifest(data, "", [digest], self.address)

    def digest(self, reference: str) -> str | None:
        self._count(requests=1)
        digest = reference if is_digest(reference) else self._tagged(reference)
        return digest if digest and self._exists(digest) else None

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        self._put(manifest, tag)

    def _put(self, manifest: Manifest, tag: str | None, *, once: bool = True) -> None:
        self._count(requests=1)
        self._check(manifest)
        self._write(Blob(manifest.digest, len(manifest.data), manifest.data))
        if tag is None:
            return
        with self._disk("write"), self._locked():
            existing = self._tagged(tag)
            if existing == manifest.digest:
                return
            if once and existing and self._exists(existing):
                raise Conflict(f"{self.address}:{tag} is {existing} and may not be moved.")
            # Nothing is swept away while this process has the lock; before, something may have been.
            self._check(manifest)
            self._index.point(manifest, tag)
            self._pointed = True

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        self._put(manifest, tag)
        return True

    def move_tag(self, manifest: Manifest, tag: str) -> bool:
        self._put(manifest, tag, once=False)
        return True

    def tags(self, prefix: str = "") -> list[str]:
        self._count(requests=1)
        with self._reading():
            return self._index.tags(prefix)
        return []

    def has_blob(self, digest: str) -> bool:
        self._count(requests=1)
        return self._exists(digest)

    def blob(self, digest: str) -> Iterator[bytes]:
        self._count(requests=1)
        hashed = hashlib.sha256()
        with self._disk("read"):
            try:
                file = self._file(digest).open("rb")
            except FileNotFoundError:
                raise MissingContent(digest, self.address) from None
            with file:
                while chunk := file.read(CHUNK):
                    hashed.update(chunk)
                    self._count(read=len(chunk))
                    yield chunk
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise self._damaged(digest)

    def put_blob(self, blob: Blob) -> None:
        self._count(requests=1)
        if not self._use(blob.digest):
            self._write(blob)

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        """Hard links, or copies where the file system cannot link, from another layout."""
        if not isinstance(source, Layout):
            return False
        self._count(requests=1)
        if self._use(descriptor.digest):
            return True
        if not source._exists(descriptor.digest):
            return False
        file, target = source._file(descriptor.digest), self._file(descriptor.digest)
        with self._disk("write"):
            self._make()
            try:
                os.link(file, target)
                self._use(descriptor.digest)
            except FileExistsError:
                return True
            except OSError as error:
                if error.errno in _FULL or isinstance(error, FileNotFoundError):
                    raise
                self._write(Blob(descriptor.digest, descriptor.size, file))
        return True

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:  # noqa: ARG002
        self.delete_all({digest: ()})

    def delete_all(self, digests: Mapping[str, Sequence[str]]) -> None:
        """The index is written once."""
        self._count(requests=1)
        with self._disk("write"):
            if self._digests().isdisjoint(digests):
                return
            with self._locked():
                self._index.remove(digests)

    def sweep(self) -> int | None:
        """Under the lock, so that no tag is written meanwhile: `put_manifest` looks again when it has the lock. What
        is being put without a tag yet is young."""
        with self._disk("write"):
            if not (self.directory / INDEX).is_file():
                return 0
            with self._locked():
                return gc.sweep(self._blobs, self._digests(), self._grace)

    def close(self) -> None:
        if self._pointed:
            with self._disk("write"), self._locked():
                self._index.fold()

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def _file(self, digest: str) -> Path:
        if not is_digest(digest):
            raise ValueError(f"{digest!r} is not a sha256 digest")
        return self._blobs / digest.removeprefix("sha256:")

    def _damaged(self, digest: str) -> Unreachable:
        return Unreachable(
            f"{self._file(digest)} is damaged.", id="LN-4023", remedy="Delete that file; it will be made again."
        )

    def _exists(self, digest: str) -> bool:
        with self._disk("read"):
            return self._file(digest).is_file()

    def _use(self, digest: str) -> bool:
        """Whether it is there; it counts as new then, so that `sweep` leaves it to who is going to refer to it."""
        try:
            os.utime(self._file(digest))
        except OSError:
            # Another user's file, a disk that is only read.
            return self._exists(digest)
        return True

    def _check(self, manifest: Manifest) -> None:
        """Raises `MissingContent` unless all is there that it refers to, or an index's images."""
        if self._partial:
            return
        for digest in manifest.references:
            if not self._use(digest):
                raise MissingContent(digest, self.address)
            for below in gc.references(self._blobs, digest) if manifest.is_index else ():
                if not self._use(below):
                    raise MissingContent(below, self.address)

    def _tagged(self, tag: str) -> str | None:
        """The digest of a tag, as the index says now."""
        with self._reading():
            return self._index.digest(tag)
        return None

    def _digests(self) -> set[str]:
        with self._reading():
            return self._index.digests()
        return set()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Leaves its block where there is no index yet, and no directory of other things."""
        with self._disk("read"):
            try:
                yield
            except FileNotFoundError:
                self._refuse_other_things()

    def _write(self, blob: Blob) -> None:
        """Content under its digest, checked on the way as a registry would."""
        hashed = hashlib.sha256()
        with self._disk("write"):
            self._make()
            with blob.open() as source, replacing(self._file(blob.digest)) as file:
                while chunk := source.read(CHUNK):
                    hashed.update(chunk)
                    file.write(chunk)
                    self._count(sent=len(chunk))
                if f"sha256:{hashed.hexdigest()}" != blob.digest:
                    raise Unreachable(
                        f"The content given as {blob.digest} changed before it was stored.", id="LN-4026"
                    )

    def _make(self) -> None:
        """Make the directory a layout unless it is one; never turn a directory of other things into one."""
        if self._made:
            return
        self._refuse_other_things()
        self._blobs.mkdir(parents=True, exist_ok=True)
        if not (self.directory / _MARKER).exists():
            with replacing(self.directory / _MARKER) as file:
                file.write(b'{"imageLayoutVersion":"1.0.0"}')
        if not (self.directory / INDEX).exists():
            with self._locked():
                if not (self.directory / INDEX).exists():
                    self._index.create()
        self._made = True

    def _refuse_other_things(self) -> None:
        try:
            names = {entry.name for entry in self.directory.iterdir()}
        except FileNotFoundError:
            return
        strange = sorted(name for name in names - _OURS if not name.startswith(TEMPORARY))
        if _MARKER not in names and strange:
            raise BadConfiguration(
                f"{self.directory} is not an OCI Image Layout and holds other things, such as {strange[0]!r}.",
                id="LN-4024",
                remedy="Choose a new or empty directory for the layout store.",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import filelock

        try:
            with filelock.FileLock(self.directory / _LOCK, timeout=LOCK_SECONDS, mode=0o666, thread_local=False):
                yield
        except filelock.Timeout:
            raise Unreachable(
                f"{self.directory / _LOCK} has been locked by another process for {LOCK_SECONDS} s.",
                id="LN-4025",
                remedy="Stop that process, if it hangs.",
            ) from None

    @contextmanager
    def _disk(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            full = error.errno in _FULL
            raise Unreachable(
                f"The layout store {self.directory} cannot be {'read' if doing == 'read' else 'written'}: {reason}.",
                id="LN-4026",
                remedy="Free some space, or choose another store." if full else "Check the path and its permissions.",
            ) from None

    def _count(self, *, requests: int = 0, read: int = 0, sent: int = 0) -> None:
        with self._counting:
            self.traffic.requests += requests
            self.traffic.bytes_read += read
            self.traffic.bytes_sent += sent
