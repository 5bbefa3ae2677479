"""A registry without compare-and-swap as a model: what is applied is there at once, lists of tags may be behind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TypeVar

from lineal.errors import MissingContent
from lineal.oci import Conflict, Listed, Store, Traffic
from lineal.oci.types import Blob, Descriptor, Manifest
from lineal.store.record import image_digest
from lineal.store.registry.server_clock import ServerClock
from lineal.store.tags import parse_stage_tag
from tests.simulation.world import READ, START, WRITE, Actor, World

T = TypeVar("T")


@dataclass
class Shelf:
    """What the registry holds, and what would have broken a promise."""

    world: World
    immutable: bool = False
    """Whether it refuses to move a tag."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    when: dict[str, float] = field(default_factory=dict)
    """When each tag was first there."""
    writers: dict[str, str] = field(default_factory=dict)
    """Who wrote each tag first."""
    broken: list[str] = field(default_factory=list)
    forged: set[str] = field(default_factory=set)
    """The tags that an adversary has written."""
    written: list[tuple[str, str, str]] = field(default_factory=list)
    """What honest runs have written: run, tag, digest."""
    made_of: dict[str, str] = field(default_factory=dict)
    """The image that an image was made of."""
    published: set[str] = field(default_factory=set)
    """The images that a tag has led to."""

    def tag(self, manifest: Manifest, tag: str, writer: str) -> None:
        existing = self.tags.get(tag)
        if existing not in (None, manifest.digest):
            if self.immutable:
                raise Conflict(tag)
            if tag not in self.forged:
                self.broken.append(f"G1: {tag[62:]} moved from {existing} to {manifest.digest}")
        if missing := [one for one in self._below(manifest) if one not in self.manifests and one not in self.blobs]:
            self.broken.append(f"G5: {tag[62:]} leads to nothing: {missing}")
        if parse_stage_tag(tag) is None and not self.forged and manifest.digest not in self.tags.values():
            self.broken.append(f"G5: the anchor {tag[62:]} points at what has no stage tag")
        self._check_order(manifest, tag)
        self.written.append((writer, tag, manifest.digest))
        self.manifests[manifest.digest] = manifest
        self.tags[tag] = manifest.digest
        self.when.setdefault(tag, self.world.time)
        self.writers.setdefault(tag, writer)

    def _check_order(self, manifest: Manifest, tag: str) -> None:
        if not manifest.is_index:
            return
        image = image_digest(manifest)
        self.published.add(image)
        if image in self.made_of and self.made_of[image] not in self.published:
            self.broken.append(f"G5: {tag[62:]} is published before what it is made of")

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        self.manifests.pop(digest, None)
        for tag in [tag for tag, led in self.tags.items() if led == digest]:
            del self.tags[tag], self.when[tag]

    def _below(self, manifest: Manifest) -> Iterator[str]:
        for digest in manifest.references:
            yield digest
            if digest in self.manifests:
                yield from self._below(self.manifests[digest])


@functools.cache
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Client(Store):
    """The shelf as one run sees it: every request takes its time. The clock is the real one, fed with `Date`s."""

    def __init__(self, shelf: Shelf, actor: Actor) -> None:
        self.address, self.traffic = "registry.test/app", Traffic()
        self._shelf, self._actor, self._clock = shelf, actor, ServerClock(actor.time)

    def _ask(self, what: str, latency: Sequence[float], apply: Callable[[], T]) -> T:
        sent, dates = self._actor.time.monotonic(), []

        def dated() -> T:
            dates.append(_date(int(START + self._shelf.world.time)))
            return apply()

        try:
            return self._actor.request(what, latency, dated)
        finally:
            self._clock.observe(dates[-1] if dates else None, sent, self._actor.time.monotonic())

    def manifest(self, reference: str) -> Manifest | None:
        shelf = self._shelf
        return self._ask(
            f"GET {reference[62:]}", READ, lambda: shelf.manifests.get(shelf.tags.get(reference, reference))
        )

    def digest(self, reference: str) -> str | None:
        shelf = self._shelf

        def look() -> str | None:
            digest = shelf.tags.get(reference, reference)
            return digest if digest in shelf.manifests else None

        return self._ask(f"HEAD {reference[62:]}", READ, look)

    def tags(self, prefix: str = "") -> list[str]:
        world = self._shelf.world
        behind = world.mood.lag * world.choices.below(3) / 2
        return self._ask(
            f"list, {behind} s behind",
            READ,
            lambda: [
                tag for tag, when in self._shelf.when.items()
                if tag.startswith(prefix) and (not behind or when <= world.time - behind)
            ],
        )  # fmt: skip

    def listed(self, prefix: str) -> Listed:
        whole = self._shelf.world.choices.below(4) < 3
        return Listed(self.tags("" if whole else prefix), whole)

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        name, shelf = self._actor.name, self._shelf
        return self._actor.attempt(f"{name}: PUT {tag[62:]}", lambda: shelf.tag(manifest, tag, name))

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        assert tag is None, "a tag is written in one try"
        self._ask("PUT by digest", WRITE, lambda: self._shelf.manifests.update({manifest.digest: manifest}))

    def put_blob(self, blob: Blob) -> None:
        with blob.open() as file:
            data = file.read()
        self._ask("PUT blob", WRITE, lambda: self._shelf.blobs.update({blob.digest: data}))

    def has_blob(self, digest: str) -> bool:
        return digest in self._shelf.blobs

    def blob(self, digest: str) -> Iterator[bytes]:
        if digest not in self._shelf.blobs:
            raise MissingContent(digest, self.address)
        yield self._shelf.blobs[digest]

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        return False

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        self._ask(f"DELETE {digest[:15]}", WRITE, lambda: self._shelf.delete(digest))

    def sweep(self) -> int | None:
        return None

    def now(self) -> int:
        return self._clock.now()
