"""Packs on their way: chunks gathered, compressed and sent; blobs fetched ahead and unpacked."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from threading import Lock
from typing import TypeVar

from lineal.caches import zstd
from lineal.caches.snapshot import Broken, Pack
from lineal.errors import Interrupted, LinealError
from lineal.oci import Store
from lineal.oci.image import read_blob
from lineal.oci.types import Blob

_T = TypeVar("_T")
FULL = 16 << 20
"""Bytes of a pack that goes out, before it is compressed: few requests, and little that is read in vain."""
_AHEAD = 4
"""Packs that are fetched or sent at a time ..."""
_AT_HAND = 8
"""... and that are kept unpacked, for files whose chunks are in several."""


class Late(Broken):
    """The time budget is used up."""


class Deadline:
    """A time budget, which begins with its first use."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._now = now
        self._end: float | None = None

    def left(self) -> float:
        """Seconds. Raises `Late` when there are none."""
        if self._end is None:
            self._end = self._now() + self.seconds
        left = self._end - self._now()
        if left <= 0:
            raise Late(f"it took longer than {self.seconds:g} seconds")
        return left


class PackWriter:
    """Gathers chunks into packs, and sends each as soon as it is full."""

    def __init__(self, store: Store, pool: Executor, deadline: Deadline) -> None:
        self._store, self._pool = store, pool
        self.deadline = deadline
        """The budget of what is done now."""
        self._gathered = bytearray()
        self._sent: list[Future[Pack]] = []
        self.pushed = 0
        """Compressed bytes of the packs that were made."""
        self._guard = Lock()

    def add(self, data: bytes | memoryview) -> tuple[int, int]:
        """The number of the pack, of those that this writer makes, and where the data begins in it. Raises as
        `packs`."""
        if self._gathered and len(self._gathered) + len(data) > FULL:
            self._send()
        place = len(self._sent), len(self._gathered)
        self._gathered += data
        return place

    def packs(self) -> list[Pack]:
        """All packs, once they are in the store. Raises `Late`, `Broken` for a store that does not take one, and
        `Interrupted`."""
        if self._gathered:
            self._send()
        return [self._arrived(one) for one in self._sent]

    def _send(self) -> None:
        self.deadline.left()
        # No more than a few are in memory.
        if len(self._sent) >= _AHEAD:
            self._arrived(self._sent[-_AHEAD])
        data, self._gathered = self._gathered, bytearray()
        self._sent.append(self._pool.submit(self._put, data))

    def _arrived(self, sent: Future[Pack]) -> Pack:
        try:
            return result_of(sent, self.deadline)
        except Interrupted:
            raise
        except LinealError as error:
            raise Broken(error.message.rstrip(".")) from error

    def _put(self, data: bytearray) -> Pack:
        blob = Blob.of(zstd.compress(data))
        with self._guard:
            self.pushed += blob.size
        self._store.put_blob(blob)
        return Pack(blob.digest, blob.size, len(data))


class PackReader:
    """Packs of a snapshot, unpacked; those that come next are fetched meanwhile."""

    def __init__(self, store: Store, packs: Sequence[Pack], pool: Executor, deadline: Deadline) -> None:
        self._store, self._packs, self._pool = store, packs, pool
        self.deadline = deadline
        """The budget of what is done now."""
        self._fetched: OrderedDict[int, Future[bytes]] = OrderedDict()
        self.pulled = 0
        """Compressed bytes of the packs that were fetched."""
        self._guard = Lock()

    def begin(self) -> None:
        """Fetch the first ones."""
        for number in range(min(_AHEAD, len(self._packs))):
            self._ask(number)

    def unpacked(self, number: int) -> bytes:
        """Raises `Broken`, also for a store that does not answer, and `Interrupted`."""
        for ahead in range(number, min(number + _AHEAD, len(self._packs))):
            self._ask(ahead)
        self._fetched.move_to_end(number)
        try:
            return result_of(self._fetched[number], self.deadline)
        except Interrupted:
            raise
        except LinealError as error:
            raise Broken(f"a part of it cannot be read: {error.message.rstrip('.')}") from error

    def _ask(self, number: int) -> None:
        if number in self._fetched:
            return
        while len(self._fetched) >= _AT_HAND:
            self._fetched.popitem(last=False)
        self._fetched[number] = self._pool.submit(self._fetch, self._packs[number])

    def _fetch(self, pack: Pack) -> bytes:
        packed = read_blob(self._store, pack.digest, pack.size)
        with self._guard:
            self.pulled += len(packed)
        try:
            data = zstd.decompress(packed, pack.unpacked)
        except ValueError as error:
            raise Broken("a pack of it cannot be unpacked") from error
        if len(data) != pack.unpacked:
            raise Broken("a pack of it has another size")
        return data


def result_of(future: Future[_T], deadline: Deadline) -> _T:
    """Raises `Late`, and what the future has raised."""
    try:
        return future.result(deadline.left())
    except TimeoutError:
        raise Late(f"it took longer than {deadline.seconds:g} seconds") from None
