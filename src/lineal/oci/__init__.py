"""OCI images as values, and the one protocol behind which they are stored, `Store`.

`types` holds descriptors, manifests, blobs, layers and images; `image` writes and reads the documents of an image;
`platform` says which image runs where; `reference` parses what people write; `credential` is a login for a registry;
`verify` and `config` check what a store hands out before anything believes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lineal.oci.types import Blob, Descriptor, Image, Manifest
from lineal.value import dataclass

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(slots=True)
class Traffic:
    """Counts the requests to a store. The counters only grow; a store counts under a lock."""

    requests: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """Tags of a store; `whole` when they are all that it has."""

    tags: list[str]
    whole: bool


class Store(Protocol):
    """One OCI repository. Every method may raise `Unreachable`; all are safe to call from several threads."""

    address: str
    """The address as the user wrote it: `registry.example.com/team/app` or `layout:PATH`."""
    traffic: Traffic
    directory: Path | None = None
    """Where the store lies on this machine's disk; None for one that is elsewhere."""

    def sibling(self, repository: str) -> Store | None:  # noqa: ARG002 (most stores have none)
        """Another repository of the same registry, with the same credentials and connections; its traffic is its own.

        None when there can be none: beside a directory, or for a run that may not write."""
        return None

    def check_push(self) -> None:
        """Ask for the right to write here; nothing is left behind. Raises `Unreachable` when there is none."""
        return

    @property
    def shared(self) -> Store:
        """The store that others read and write."""
        return self

    def arrived(self, image: Image) -> None:  # noqa: ARG002 (in most stores nothing is on its way)
        """Wait until others can read this image from `shared`. Raises what went wrong on its way."""
        return

    def expect(self, digest: str, arrival: Future[None], read: Callable[[], Iterator[bytes]]) -> None:  # noqa: ARG002
        """A blob that somebody else brings here: it is there, or why not, when `arrival` is done. `read` gives its
        bytes from where it is; it may fail."""
        arrival.result()

    def at_hand(self, digest: str) -> bool:  # noqa: ARG002 (most stores are in one place)
        """Whether this machine has a blob of a store that is elsewhere, or is getting it."""
        return False

    def send(self, image: Image) -> None:  # noqa: ARG002 (most stores have nothing on its way)
        """Expect `put_image` of this image, whose layers were put."""
        return

    def await_blobs(self, image: Image) -> None:  # noqa: ARG002 (most stores have nothing on its way)
        """Until the layers and the config of an image are there, as far as they are on their way."""
        return

    def put_image(self, image: Image) -> None:
        """Store an image's config and manifest under their digests, once its layers are there."""
        self.put_blob(Blob.of(image.config))
        self.put_manifest(image.manifest)

    def manifest(self, reference: str) -> Manifest | None:
        """The manifest or index at a tag or `sha256:` digest (digest verified), None when absent."""

    def digest(self, reference: str) -> str | None:
        """The digest a tag points at (HEAD), None when absent."""

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store under its digest and, if given, under `tag`.

        Raises `MissingContent` when the manifest refers to something that is not there, and `Conflict` when the
        registry says that the tag exists and may not move."""

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        """Point a tag at a manifest, in one try; a caller that tries again must look at the tag first.

        False when the answer was lost or the registry is busy, after the pause that the registry asks for: the tag
        may be there or not. Raises `Conflict` and `MissingContent` as `put_manifest` does."""

    def referrers(self, digest: str) -> list[dict[str, Any]] | None:  # noqa: ARG002 (many stores list none)
        """The descriptors of the manifests that are about this one (OCI 1.1), None for a store that cannot list
        them."""
        return None

    def move_tag(self, manifest: Manifest, tag: str) -> bool:
        """As `try_tag`, for a tag that is to move from one manifest to another."""
        return self.try_tag(manifest, tag)

    def tags(self, prefix: str = "") -> list[str]:
        """Every tag that begins with `prefix`, all pages, in no particular order.

        Empty when the repository does not exist yet. A registry may show a new tag late."""

    def listed(self, prefix: str) -> Listed:
        """The tags that begin with `prefix`, and all others where they come along at no price."""
        return Listed(self.tags(prefix), whole=False)

    def whole_list(self) -> list[str] | None:
        """Every tag where one request gives them all; None where it does not, or looking at a tag costs nothing."""
        return None

    def has_blob(self, digest: str) -> bool: ...

    def blob(self, digest: str) -> Iterator[bytes]:
        """The content in chunks, its digest verified at the end. Raises `MissingContent` when absent."""

    def expect_blobs(self, count: int) -> None:  # noqa: ARG002 (most stores need no preparation)
        """So many calls of `put_blob` come within moments."""
        return

    def put_blob(self, blob: Blob) -> None:
        """Upload unless it is there already (HEAD first, but for what is new or small)."""

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        """Take a blob over from another repository of the same registry without moving bytes.

        False when the registry cannot do that; the caller then streams the blob."""

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        """Remove a manifest and every tag that points at it; one that is gone already is no error.

        `tags` are those tags in the order in which they may go, for registries that want them gone first."""

    def delete_all(self, digests: Mapping[str, Sequence[str]]) -> None:
        """As `delete`, of each digest with its tags."""
        for digest, tags in digests.items():
            self.delete(digest, tags)

    def sweep(self) -> int | None:
        """Delete the content that no tag leads to and that is not new, and return its bytes; None for a registry,
        which collects its garbage itself."""

    def close(self) -> None:
        """At the end of a run: leave what was written as other tools look for it, and no connection open."""
        return

    def now(self) -> int:
        """The store's clock in ms since the epoch (a registry's `Date` header); local time if it has none."""


class Conflict(Exception):
    """A tag exists and the registry refuses to move it (immutable tags)."""
