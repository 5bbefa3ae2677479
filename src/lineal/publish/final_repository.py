"""A final repository: a place from which people pull finished images."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock

from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Conflict, Store
from lineal.oci.types import Descriptor, Manifest
from lineal.store.copy import carry
from lineal.store.record import read_stage
from lineal.store.tags import parse_stage_tag


class FinalRepository:
    """`source` is the store, which may be this repository itself. Safe to use from several threads."""

    def __init__(self, address: str, store: Store, source: Store, project: str) -> None:
        self.address, self.store = address, store
        self._source, self._project = source, project
        self._guard, self._checked = Lock(), store is source

    def check(self) -> None:
        """Make sure that this run may write there, before work is done for it.

        Raises `Unreachable` when it may not, and `BadConfiguration` for the store of another project."""
        with self._guard:
            if not self._checked:
                self.store.check_push()
                self._refuse_store_of_others()
                self._checked = True

    def has(self, manifest: Manifest) -> bool:
        return self.store.digest(manifest.digest) is not None

    def take_blob(self, blob: Descriptor) -> None:
        """Bring a blob there from the store: mounted within a registry, else streamed."""
        if self.store is not self._source:
            carry(blob, self._source, self.store)

    def write_once(self, tag: str, manifest: Manifest) -> str:
        """Give the image a tag that was not there a moment ago: the digest that it names now.

        Raises `Unreachable` when it names none."""
        with suppress(Conflict):
            self.store.put_manifest(manifest, tag)
        now = self.store.digest(tag)
        if now is None:
            raise Unreachable(
                f"{self.address} has taken the tag {tag} and does not show it.",
                id="LN-4036",
                remedy="Look at the registry's own log.",
            )
        return now

    def _refuse_store_of_others(self) -> None:
        """People who look for images must not find the stages of somebody, nor his cleanup find the images."""
        try:
            stages = sorted((parsed, tag) for tag in self.store.tags() if (parsed := parse_stage_tag(tag)))
        except Unreachable:
            return  # who may not list may still write, and some registries have no list
        for (checksum, _), tag in stages[:1]:
            index = self.store.manifest(tag)
            found = read_stage(index, tag, checksum) if index is not None else None
            if found is not None and found[0].project != self._project:
                raise BadConfiguration(
                    f"The final repository {self.address} is the store of another project, {found[0].project!r}.",
                    id="LN-1033",
                    remedy="Name another repository in `publish.to`.",
                )
