"""Publishing a stage so that no tag ever moves and one winner emerges (DESIGN §6).

No registry can compare and swap, so the runs elect the winner by tags that all of them can read. A run first makes
its claim: a stage tag of its own, which no other run writes. Then the run looks for other claims. A run alone writes
the anchor at once: a run that claims later sees this claim, and leaves the first run time to do so. Of several
claims, the one with the lowest timestamp writes the anchor after that time, and the other runs adopt it.
docs/guarantees.md says what this rests on; tests/simulation tries it."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from math import inf
from typing import Any, Literal

from lineal.errors import MissingContent, Unreachable
from lineal.lock import Lock, NoLock
from lineal.oci import Conflict, Store
from lineal.oci.types import Blob, Image, Manifest
from lineal.stages.candidate import Candidate
from lineal.stages.lookup import GRACE, Look, Lookup, Publications
from lineal.stages.visibility import DEV_PREFIX
from lineal.store.record import NOTHING, Record, Sign, constants, record_documents, stage_index
from lineal.store.statement import Making
from lineal.store.tags import LAST, stage_tag
from lineal.value import dataclass

LOOK = 1.0
"""Seconds for which a run may act on a look at the store. A run that was held up longer looks again before it
writes."""
DEAD = 8.0
"""Seconds after which the publisher of the lowest claim counts as dead, if the claim has not become the anchor."""
AGED = 60_000
"""The same in milliseconds on the store's clock, for claims that were there long before this run."""
_POLL = (0.25, 1.0)
"""Seconds between two looks, the first and the longest."""
_TRIES = 16
_PATIENCE = 3
_SPREAD = 1000
_STEPS = 6
"""The longest of those steps is 2 to this power seconds."""


Documents = tuple[tuple[Blob, ...], Manifest]
"""Of a record: its blobs and its manifest."""


def _nothing(_: Candidate) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Built:
    """A stage as this run made it. Its layers are in the store, or on their way; the rest is published here."""

    image: Image
    filesystem: bytes
    inputs: dict[str, Any]
    platform: str
    beside: frozenset[str] = frozenset()
    """As in `Record`."""
    making: Making = NOTHING


@dataclass(frozen=True, slots=True)
class Publication:
    candidate: Candidate
    outcome: Literal["published", "adopted"]
    young: bool = False
    """As in `Resolution`: the candidate may still lose to a lower timestamp."""


class Publisher:
    def __init__(
        self, store: Store, lock: Lock, lookup: Lookup, digits: int | None = None,
        marked: Callable[[Manifest], Manifest] = lambda index: index, sign: Sign | None = None,
    ) -> None:  # fmt: skip
        """`digits` (0 to 999) end all timestamps of this run; see `own_digits`. `marked` vouches for the index of a
        stage, and changes nothing but its annotations; `sign` signs the statement in its record."""
        self._marked, self._sign = marked, sign
        self._store = store
        self._lock = lock
        self._lookup = lookup
        self._time = lookup.time
        self._digits = own_digits() if digits is None else digits
        self._late, self._late_at = 0, -inf
        """Looks in a row that were late, each begun when the one before was known to be; and since when that is."""
        self._there: set[str] = set()
        """Digests of blobs that every record needs, and the store has."""
        self._foreseen: dict[str, Future[None]] = {}
        """Records that were put before their turn, by digest."""
        self._begun: dict[str, Future[tuple[Publication, float]]] = {}
        """Claims that were made before their turn, by the digest of the record."""

    def foresee(self, built: Built, record: Record) -> None:
        """Begin to put the record of a stage that `publish` is called for as soon as what it is made of counts. No
        tag leads to it, so it harms nobody when another run's publication counts."""
        if self._sign is None:  # a signed one says when it was signed
            blobs, manifest = self._documents(built, _of(built, record))
            if all(blob.digest in self._there for blob in blobs):
                self._foreseen[manifest.digest] = self._lookup.pool.submit(self._put_record, blobs, manifest)

    def claim(
        self, built: Built, record: Record, pool: Executor, claimed: Callable[[Candidate], object] = _nothing
    ) -> None:
        """Begin to claim a stage that `publish` is called for as soon as what it is made of counts, whose anchor is
        being written; the arguments are those of `publish`. Should it not count after all, then this claim is as that
        of a run that died. Never called twice for one, nor beside `publish`."""
        record = _of(built, record)
        if self._sign is None and isinstance(self._lock, NoLock):
            documents = self._documents(built, record)
            self._begun[documents[1].digest] = pool.submit(self._claim_now, built, record, documents, claimed)

    def publish(
        self, built: Built, record: Record, claimed: Callable[[Candidate], object] = _nothing,
        counts: Callable[[Candidate], object] = _nothing,
    ) -> Publication:  # fmt: skip
        """Publish, or adopt the publication of another run. The publisher sets `record.created`. `claimed` is told of
        the claim before it is known whether that counts, `counts` when it does, before its anchor is written."""
        record = _of(built, record)
        documents = self._documents(built, record)
        begun = self._begun.pop(documents[1].digest, None)
        claiming = self._claiming(built, record, documents, claimed) if begun is None else nullcontext(begun.result())
        with claiming as (claim, began):
            if claim.outcome == "adopted" or record.branch.startswith(DEV_PREFIX):
                return claim
            return self._elect(claim.candidate, began, counts)

    def forget(self) -> None:
        """What was begun before its turn does not take place."""
        self._foreseen.clear()
        self._begun.clear()

    def _claim_now(self, *what: Any) -> tuple[Publication, float]:
        with self._claiming(*what) as claim:
            return claim

    @contextmanager
    def _claiming(
        self, built: Built, record: Record, documents: Documents, claimed: Callable[[Candidate], object]
    ) -> Iterator[tuple[Publication, float]]:
        """The claim, when all that it leads to is in the store, and a time before which it was not written. The lock
        is held meanwhile."""
        blobs, record_manifest = documents
        described = self._foreseen.pop(record_manifest.digest, None)
        if described is None:
            self._put_new(blobs)
            described = self._lookup.pool.submit(self._put_record, blobs, record_manifest)

        def made(created: int) -> Candidate:
            dated = replace(record, created=created)
            index = self._marked(stage_index(built.image, record_manifest, dated, built.platform))
            return Candidate(dated, stage_tag(record.checksum, created), index)

        self._store.await_blobs(built.image)
        # Beside the last requests of the image; under a lock only what is seen while it is held counts.
        begun = self._begin(record.checksum, made) if isinstance(self._lock, NoLock) else None
        described.result()
        self._store.put_image(built.image)
        with self._lock.hold(record.checksum):
            began = self._time.monotonic()
            claim = self._claim(record.checksum, made, begun or self._begin(record.checksum, made))
            if claim.outcome == "published":
                claimed(claim.candidate)
            yield claim, began

    def _documents(self, built: Built, record: Record) -> Documents:
        return record_documents(
            record, built.inputs, built.filesystem, built.image, built.platform, built.making, self._sign,
            self._store.now(),
        )  # fmt: skip

    def saw(self, record_manifest: Manifest) -> None:
        """A record that the store has: what every record needs is there."""
        self._there |= constants(record_manifest)

    def _put_new(self, blobs: Sequence[Blob]) -> None:
        new = [blob for blob in blobs if blob.digest not in self._there]
        for one in [self._lookup.pool.submit(self._store.put_blob, blob) for blob in new]:
            one.result()

    def _put_record(self, blobs: Sequence[Blob], record_manifest: Manifest) -> None:
        """What the tags will lead to, beside the image. It waits for nothing else in the pool."""
        try:
            self._store.put_manifest(record_manifest)
        except MissingContent:
            # What was there once in this run, a clean-up of the registry may have taken away.
            for blob in blobs:
                self._store.put_blob(blob)
            self._store.put_manifest(record_manifest)
        self.saw(record_manifest)

    def _begin(self, checksum: str, made: Callable[[int], Candidate]) -> tuple[Candidate, Look]:
        """A claim, and what there is before it is written."""
        claim = made(self._stamp(checksum, self._store.now()))
        return claim, self._lookup.look(checksum, claim.tag)

    def _claim(self, checksum: str, made: Callable[[int], Candidate], begun: tuple[Candidate, Look]) -> Publication:
        """Write a stage tag that does not exist yet, unless a visible candidate has appeared."""
        claim, look = begun
        floor = 0

        def above(floor: int) -> Candidate:
            if claim.record.created >= floor:
                return claim
            return made(self._stamp(checksum, max(self._store.now(), floor)))

        for number in range(_TRIES):
            if number:
                claim = above(floor)
                # A try of its own may have written a tag.
                look = self._lookup.look(checksum, claim.tag, anew=True)
            found, taken = look.finding, look.taken
            if found.candidate is not None:
                ours = found.candidate.digest == claim.digest
                return Publication(found.candidate, "published" if ours else "adopted", found.young)
            floor = max(floor, found.newest + 1)
            if claim.record.created < floor:
                claim = above(floor)
                taken = self._store.digest(claim.tag)
            if taken == claim.digest:
                return Publication(claim, "published")
            if taken is not None:
                floor = self._beyond(claim, number)
            elif self._fresh(look.began):
                try:
                    if self._store.try_tag(claim.index, claim.tag):
                        return Publication(claim, "published")
                except Conflict:
                    floor = self._beyond(claim, number)
        raise self._refusal(checksum)

    def _beyond(self, claim: Candidate, tries: int) -> int:
        """The least timestamp behind one that somebody else has. Strangers may have taken many in advance, so a run
        that does not believe everybody steps on faster each time, to digits that nobody foresees."""
        if not self._lookup.eligibility.strict:
            return claim.record.created + 1
        self._digits = int(claim.digest[-8:], 16) % _SPREAD
        return claim.record.created + 1 + (_SPREAD << min(tries, _STEPS))

    def _elect(self, own: Candidate, written: float, counts: Callable[[Candidate], object]) -> Publication:
        """Wait until the checksum has its anchor, or write the anchor when this run is the one to do so.

        The claim was not `written` before that time."""
        checksum, claimed, tries = own.record.checksum, self._time.monotonic(), 0
        anchor = self._lookup.lane.anchor(checksum)
        poll, longest = _POLL
        known: dict[str, float] = {}
        while tries < _TRIES:
            looked = self._time.monotonic()
            seen = self._lookup.survey(own, written)
            if seen.anchored:
                return self._after_anchor(own, seen)
            winner = self._next_anchor(own, seen, looked - claimed, known)
            if winner is None:
                self._time.sleep(poll)
                poll = min(poll * 1.5, longest)
            elif self._fresh(looked):
                tries += 1
                if winner is own:
                    counts(own)
                with suppress(Conflict):
                    if self._store.try_tag(winner.index, anchor) and winner is own and seen.listed:
                        return Publication(own, "published")
        raise self._refusal(checksum)

    def _next_anchor(
        self, own: Candidate, seen: Publications, waited: float, known: dict[str, float]
    ) -> Candidate | None:
        """The claim that this run should make the anchor now, None while it has to wait.

        `waited` is in seconds. `known` remembers since when a tag has been the lowest."""
        lowest = seen.claims[0]
        if lowest.tag == own.tag:
            alone = seen.listed and len(seen.claims) == 1
            return own if alone or waited >= GRACE else None
        now = self._time.monotonic()
        dead = now - known.setdefault(lowest.tag, now) >= DEAD or self._store.now() - lowest.record.created >= AGED
        return lowest if dead else None

    def _after_anchor(self, own: Candidate, seen: Publications) -> Publication:
        """The publication that counts, once an anchor exists."""
        selected = seen.selected or own
        young = selected.digest != seen.anchor_digest or not seen.listed
        return Publication(selected, "published" if selected.digest == own.digest else "adopted", young)

    def _fresh(self, looked: float) -> bool:
        """Whether the run may still act on a look of that moment. After several late looks in a row it may: the store
        is always that slow."""
        now = self._time.monotonic()
        late = now - looked > LOOK
        if not late:
            self._late = 0
        elif looked >= self._late_at:
            # Others that were late in the same moment, when all of the machine stood still, are no later looks.
            self._late, self._late_at = self._late + 1, now
        return not late or self._late > _PATIENCE

    def _stamp(self, checksum: str, least: int) -> int:
        """The first millisecond from `least` on that ends with this run's digits."""
        stamp = least + (self._digits - least) % _SPREAD
        if stamp > LAST:
            raise Unreachable(
                f"{self._store.address} has a tag of {checksum} from the end of time; no later one can follow.",
                id="LN-4028",
                remedy="Delete that tag: Lineal never made it.",
            )
        return stamp

    def _refusal(self, checksum: str) -> Unreachable:
        return Unreachable(
            f"{self._store.address} did not take a tag for {checksum[:12]} in {_TRIES} tries.",
            id="LN-4027",
            remedy="Look at the registry's own log, and run the job again: nothing that is published is lost.",
        )


def own_digits() -> int:
    """The last three digits of this run's timestamps. Processes of one machine have different ones, so that two runs
    which publish in the same second do not take the same tag."""
    return (zlib.crc32(socket.gethostname().encode()) + os.getpid()) % _SPREAD


def _of(built: Built, record: Record) -> Record:
    """The record with what making the stage found that no checksum holds."""
    return replace(record, beside=record.beside | built.beside)
