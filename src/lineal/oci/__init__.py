"""OCI storage behind one protocol, `Store`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lineal.oci.types import Blob, Descriptor, Manifest


@dataclass(slots=True)
class Traffic:
    """What a store was asked for; counters only grow, and whoever counts holds a lock."""

    requests: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0


class Store(Protocol):
    """One OCI repository. Every method may raise `Unreachable`; all are safe to call from several threads."""

    address: str
    """What the user wrote: `registry.example.com/team/app` or `layout:PATH`."""
    traffic: Traffic
    directory: Path | None = None
    """Where the store lies on this machine's disk; None for one that is elsewhere."""

    def sibling(self, repository: str) -> Store | None:  # noqa: ARG002 (most stores have none)
        """Another repository of the same registry, with the same credentials and connections; its traffic is its own.

        None when there can be none: beside a directory, or for a run that may not write."""
        return None

    def manifest(self, reference: str) -> Manifest | None:
        """The manifest or index at a tag or `sha256:` digest (digest verified), None when absent."""

    def digest(self, reference: str) -> str | None:
        """The digest a tag points at (HEAD), None when absent."""

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store under its digest and, if given, under `tag`. Raises `Gone` when something it refers to is missing.

        Raises `Conflict` when the registry says that the tag exists and may not move."""

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        """Point a tag at a manifest, in one try; whoever tries again has to look again first.

        False when the answer was lost or the registry is busy, after the pause that it asks for: it may have been
        done or not. Raises `Conflict` and `Gone` as `put_manifest` does."""

    def tags(self, prefix: str = "") -> list[str]:
        """Every tag that begins with `prefix`, all pages, in no particular order.

        Empty when the repository does not exist yet. A registry may show a new tag late."""

    def has_blob(self, digest: str) -> bool: ...

    def blob(self, digest: str) -> Iterator[bytes]:
        """The content in chunks, its digest verified at the end. Raises `Gone` when absent."""

    def put_blob(self, blob: Blob) -> None:
        """Upload unless it is there already (HEAD first)."""

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        """Take a blob over from another repository of the same registry without moving bytes.

        False when that is not possible; the caller then streams it."""

    def delete(self, digest: str) -> None:
        """Remove a manifest and every tag that points at it; what is gone already is fine."""

    def sweep(self) -> int | None:
        """Free what no tag leads to any more, and say how many bytes that were; None where that is not this store's
        to do: registries collect their garbage themselves. What was put here a moment ago stays."""

    def now(self) -> int:
        """The store's clock in ms since the epoch (a registry's `Date` header); local time if it has none."""


class Conflict(Exception):
    """A tag exists and the registry refuses to move it (immutable tags)."""
