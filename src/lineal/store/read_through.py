"""A store that is read, below a private one that takes every write: for runs that may not write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lineal.oci import Conflict, Listed, Store
from lineal.oci.types import Blob, Descriptor, Manifest


class ReadThroughStore(Store):
    """Reads `upper`, then `lower`; writes to `upper` (a temporary layout). Name, clock and traffic are `lower`'s."""

    def __init__(self, upper: Store, lower: Store) -> None:
        self.upper, self.lower = upper, lower
        self.address, self.traffic, self.directory = lower.address, lower.traffic, lower.directory

    def manifest(self, reference: str) -> Manifest | None:
        return self.upper.manifest(reference) or self.lower.manifest(reference)

    def digest(self, reference: str) -> str | None:
        return self.upper.digest(reference) or self.lower.digest(reference)

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        if tag and (existing := self.lower.digest(tag)) not in (None, manifest.digest):
            raise Conflict(f"{self.address}:{tag} is {existing} and may not be moved.")
        self.upper.put_manifest(manifest, tag)

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        self.put_manifest(manifest, tag)
        return True

    def tags(self, prefix: str = "") -> list[str]:
        return list(dict.fromkeys([*self.upper.tags(prefix), *self.lower.tags(prefix)]))

    def listed(self, prefix: str) -> Listed:
        lower = self.lower.listed(prefix)
        own = self.upper.tags("" if lower.whole else prefix)
        return Listed(list(dict.fromkeys([*own, *lower.tags])), lower.whole)

    def whole_list(self) -> list[str] | None:
        lower = self.lower.whole_list()
        return None if lower is None else [*self.upper.tags(), *lower]

    def has_blob(self, digest: str) -> bool:
        return self.upper.has_blob(digest) or self.lower.has_blob(digest)

    def blob(self, digest: str) -> Iterator[bytes]:
        return (self.upper if self.upper.has_blob(digest) else self.lower).blob(digest)

    def put_blob(self, blob: Blob) -> None:
        if not self.has_blob(blob.digest):
            self.upper.put_blob(blob)

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        return self.has_blob(descriptor.digest) or self.upper.mount_blob(descriptor, source)

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        self.upper.delete(digest, tags)

    def sweep(self) -> int | None:
        return self.upper.sweep()

    def now(self) -> int:
        return self.lower.now()
