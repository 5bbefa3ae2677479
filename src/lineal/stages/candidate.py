"""A published stage, as the store has it: what runs find, build on and publish."""

from __future__ import annotations

from dataclasses import field

from lineal.oci.types import Manifest
from lineal.store.record import Record
from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published stage with the wanted checksum."""

    record: Record
    tag: str
    index: Manifest
    image: Manifest | None = field(default=None, compare=False)
    document: Manifest | None = field(default=None, compare=False)
    """The manifests of the image and of the record, where they were read."""
    looked: bool = field(default=True, compare=False)
    """Whether it was looked whether the image is there."""

    @property
    def digest(self) -> str:
        """The digest of the index, which the tag points at and references name."""
        return self.index.digest

    def reference(self, repository: str) -> str:
        """`repository:tag@digest`."""
        return f"{repository}:{self.tag}@{self.digest}"
