"""The chain of stages that an image was made in, from its last one down to its base, as their records tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lineal.errors import MissingContent
from lineal.oci import Store
from lineal.oci.reference import is_tag
from lineal.oci.types import Manifest
from lineal.oci.verify import digest_of
from lineal.store.record import Record, Told, image_digest, read_stage, record_manifest, told
from lineal.store.statement import Dependency, StageStatement
from lineal.store.tags import is_checksum

_LONGEST = 1000


@dataclass(frozen=True)
class Link:
    """A published stage. What it says of itself is worth as much as who vouches for it."""

    tag: str
    index: Manifest
    record: Record
    told: Told | None
    """None where the record is gone, or tells of another image."""

    @property
    def image(self) -> str:
        """The digest of the image's manifest."""
        return image_digest(self.index)

    def without_claims(self) -> Link:
        """The stage as it is known without anybody's word."""
        said = self.statement.without_claims() if self.statement else None
        told = replace(self.told, statement=said) if self.told else None
        return replace(self, record=self.record.without_claims(), told=told)

    @property
    def statement(self) -> StageStatement | None:
        return self.told.statement if self.told else None


def link(store: Store, tag: str, checksum: str) -> Link | None:
    """The stage at a tag of the store, which anybody may have named; None where there is none of this checksum.
    Raises `Unreachable`."""
    index = store.manifest(tag) if is_tag(tag) else None
    found = read_stage(index, tag, checksum) if index is not None else None
    if index is None or found is None:
        return None
    record, image = found
    try:
        said = told(store, record_manifest(store, index))
    except MissingContent:
        said = None
    return Link(tag, index, record, said if said is not None and said.image == image else None)


def chain(store: Store, last: Link) -> Iterator[Link]:
    """The stage and those below it, as far as they are found in the store. Raises `Unreachable`."""
    current: Link | None = last
    seen: set[str] = set()
    # Whoever wrote the records may have made a circle of them.
    while current is not None and current.index.digest not in seen and len(seen) < _LONGEST:
        seen.add(current.index.digest)
        yield current
        current = below(store, current)


def below(store: Store, one: Link) -> Link | None:
    """The stage that one stands on: the very image that its statement names, where it has one."""
    if not is_checksum(one.record.parent):
        return None
    parent = parent_of(one.statement) if one.statement else None
    tag = parent.annotations.get("tag", "") if parent else one.record.parent
    found = link(store, tag, one.record.parent) if tag.startswith(one.record.parent) else None
    if parent is not None and found is not None and parent.sha256 != found.image:
        return None
    return found


def parent_of(said: StageStatement) -> Dependency | None:
    return next((one for one in said.making.dependencies if one.name == "parent"), None)


def layers_of(manifest: Manifest) -> list[str]:
    """The digests of an image's layers. Raises ValueError, LookupError or TypeError."""
    return [digest_of(layer) for layer in manifest.json["layers"]]
