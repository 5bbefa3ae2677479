"""Publishing a stage so that no tag ever moves and one winner emerges (DESIGN §6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from lineal.errors import Unreachable
from lineal.lock import Lock
from lineal.stages.lookup import Candidate, Finding, Lookup
from lineal.stages.visibility import DEV_PREFIX
from lineal.store import Blob, Conflict, Image, Manifest, Store
from lineal.store.manifest import Record, record_documents, stage_index
from lineal.store.tags import stage_tag

_UPLOADS = 4
# How long runs that meet without a lock leave each other before they look who won: seconds, and times their own pace.
_SETTLE = 0.1
_SETTLE_FACTOR = 3
_SETTLE_LIMIT = 3.0


@dataclass(frozen=True, slots=True)
class Built:
    """A stage as this run made it. Its layers are in the store already; the rest is published here."""

    image: Image
    filesystem: bytes
    inputs: dict[str, Any]
    platform: str


@dataclass(frozen=True, slots=True)
class Publication:
    candidate: Candidate
    outcome: Literal["published", "adopted"]


class Publisher:
    def __init__(self, store: Store, lock: Lock, lookup: Lookup) -> None:
        self._store = store
        self._lock = lock
        self._lookup = lookup
        self._slowest = 0.0
        """The longest time in seconds that tagging took without a lock, 0 if there was none."""

    def publish(self, built: Built, record: Record) -> Publication:
        """Publish, or adopt what another run has published meanwhile. `record.created` is set here."""
        blobs, beside = record_documents(record, built.inputs, built.filesystem, built.image.manifest.digest)
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(self._store.put_blob, [Blob.of(built.image.config), *blobs]))
            list(pool.map(self._store.put_manifest, [built.image.manifest, beside]))

        def index(created: int) -> Manifest:
            return stage_index(built.image, beside, replace(record, created=created), built.platform)

        with self._lock.hold(record.checksum) as locked:
            started = time.monotonic()
            found = self._lookup.find([record.checksum])[record.checksum]
            if found.candidate is not None:
                return Publication(found.candidate, "adopted")
            candidate = self._put_tags(record, found, index)
        if locked:
            return Publication(candidate, "published")
        self._slowest = max(self._slowest, time.monotonic() - started)
        # Without a lock another run may have published between the check and the tag: all agree on the first.
        settled = self._lookup.find([record.checksum])[record.checksum].candidate
        if settled is None or settled.tag == candidate.tag:
            return Publication(candidate, "published")
        return Publication(settled, "adopted")

    def settle(self, published: Mapping[str, Candidate]) -> dict[str, Candidate]:
        """What this run published without a lock and where another run's publication counts in the end.

        No registry compares and swaps: two runs may both have found no anchor and written it, the later one wins.
        Whoever was that close has written by now, so all of them read the same."""
        if not published or self._slowest == 0.0:
            return {}
        time.sleep(min(max(_SETTLE, _SETTLE_FACTOR * self._slowest), _SETTLE_LIMIT))
        found = self._lookup.find(list(published))
        winners = {checksum: finding.candidate for checksum, finding in found.items() if finding.candidate}
        return {checksum: winner for checksum, winner in winners.items() if winner.tag != published[checksum].tag}

    def _put_tags(self, record: Record, found: Finding, index: Callable[[int], Manifest]) -> Candidate:
        created = self._put_stage_tag(record.checksum, max(self._store.now(), found.newest + 1), index)
        manifest = index(created)
        dev = record.branch.startswith(DEV_PREFIX)
        if not dev and not found.anchored and self._store.digest(record.checksum) is None:
            # An immutable anchor that is there after all: its publication was first.
            with suppress(Conflict):
                self._store.put_manifest(manifest, record.checksum)
        return Candidate(replace(record, created=created), stage_tag(record.checksum, created), manifest)

    def _put_stage_tag(self, checksum: str, created: int, index: Callable[[int], Manifest]) -> int:
        """Two runs may meet in one millisecond: the tag that exists is theirs, the next one is ours."""
        while True:
            try:
                tag = stage_tag(checksum, created)
            except ValueError:
                raise Unreachable(
                    f"{self._store.address} has a tag of {checksum} from the end of time; no later one can follow.",
                    remedy="Delete that tag: Lineal never made it.",
                ) from None
            if self._store.digest(tag) is None:
                with suppress(Conflict):
                    self._store.put_manifest(index(created), tag)
                    return created
            created += 1
