"""Packs on their way: chunks gathered, compressed and sent; blobs fetched ahead, and unpacked as they are read."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from threading import Condition, Lock
from typing import TypeVar

from lineal.caches.snapshot import Broken, Chunk, Pack
from lineal.errors import Interrupted, LinealError
from lineal.oci import Store
from lineal.oci.image import read_blob
from lineal.oci.types import Blob, sha256
from lineal.tar import zstd

_T = TypeVar("_T")
FULL = 6 << 20
"""Bytes of a pack that goes out, before it is compressed: few requests, and little memory for those on their way."""
_AHEAD, _AT_HAND, _OPEN = 4, 5, 4
"""Packs that are fetched at a time, that are kept, and that are read at a time, for files whose chunks are in
several."""
_PIECE = 256 << 10
UNPACKED = "a pack of it cannot be unpacked"
_SENT, _PLACES = 2, 3
"""Packs of a cache that are compressed or sent at a time, and those of all caches of a run with the ones that are
filled."""


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
            raise self.late()
        return left

    def late(self) -> Late:
        return Late(f"it took longer than {self.seconds:g} seconds")


class _Place:
    """The memory of one pack, before and after it is compressed, which is used again for another."""

    def __init__(self, most: int) -> None:
        self.make(most)

    def make(self, most: int) -> None:
        """Have so much memory."""
        self.data = memoryview(bytearray(most))
        self._compressor = zstd.Compressor(most)

    def blob(self, size: int) -> Blob:
        """The first bytes as a blob, whose content is there until the place is used again."""
        packed = self._compressor.frame(self.data[:size])
        pieces = range(0, len(packed), _PIECE)
        return Blob(sha256(packed), len(packed), lambda: (bytes(packed[one : one + _PIECE]) for one in pieces))


class Places:
    """The memory for packs of a run that are made, whatever the number of its caches. Who has a place gives it back
    without taking another one, so nobody waits for ever."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._used = 0
        self._free: list[_Place] = []
        self._resting = True

    def take(self, deadline: Deadline) -> _Place:
        """Raises `Late`."""
        with self._changed:
            if self._used == _PLACES and not self._changed.wait_for(lambda: self._used < _PLACES, deadline.left()):
                raise deadline.late()
            self._used, self._resting = self._used + 1, False
            return self._free.pop() if self._free else _Place(FULL)

    def give(self, place: _Place) -> None:
        with self._changed:
            self._used -= 1
            if not self._resting and len(place.data) == FULL:
                self._free.append(place)
            self._changed.notify()

    def rest(self) -> None:
        """Keep no memory for more until there is more, also none of what is still in use."""
        with self._changed:
            self._resting = True
            self._free.clear()


class PackWriter:
    """Gathers chunks into packs, and sends each as soon as it is full."""

    def __init__(self, store: Store, pool: Executor, deadline: Deadline, places: Places | None = None) -> None:
        self._store, self._pool, self._places = store, pool, places or Places()
        self.deadline = deadline
        """The budget of what is done now."""
        self._place: _Place | None = None
        self._filled = 0
        self._kept = b""
        """What was added, while there is no place."""
        self._sent: list[Future[Pack]] = []
        self.pushed = 0
        """Compressed bytes of the packs that were made."""
        self._guard = Lock()

    def add(self, data: bytes | memoryview) -> tuple[int, int]:
        """The number of the pack, of those that this writer makes, and where the data begins in it. Raises as
        `packs`."""
        if self._filled and self._filled + len(data) > FULL:
            self._send()
        place = self._taken()
        if len(data) > len(place.data):
            # Of a snapshot whose chunks another version has made.
            place.make(len(data))
        start = self._filled
        self._filled += len(data)
        place.data[start : self._filled] = data
        return len(self._sent), start

    def _taken(self) -> _Place:
        if self._place is None:
            self._place = self._places.take(self.deadline)
            self._place.data[: self._filled] = self._kept
            self._kept = b""
        return self._place

    def rest(self) -> None:
        """Give back the place until there is more."""
        if self._place is not None:
            self._kept = bytes(self._place.data[: self._filled])
            self._places.give(self._place)
            self._place = None
        self._places.rest()

    def packs(self) -> list[Pack]:
        """All packs, once they are in the store. Raises `Late`, `Broken` for a store that does not take one, and
        `Interrupted`."""
        if self._filled:
            self._send()
        return [self._arrived(one) for one in self._sent]

    def _send(self) -> None:
        self.deadline.left()
        # No more than a few are in memory.
        if len(self._sent) >= _SENT:
            self._arrived(self._sent[-_SENT])
        self._sent.append(self._pool.submit(self._put, self._taken(), self._filled))
        self._place, self._filled = None, 0

    def _arrived(self, sent: Future[Pack]) -> Pack:
        try:
            return result_of(sent, self.deadline)
        except Interrupted:
            raise
        except LinealError as error:
            raise Broken(error.message.rstrip(".")) from error

    def _put(self, place: _Place, size: int) -> Pack:
        try:
            blob = place.blob(size)
            with self._guard:
                self.pushed += blob.size
            self._store.put_blob(blob)
        finally:
            self._places.give(place)
        return Pack(blob.digest, blob.size, size)


class PackReader:
    """Packs of a snapshot; those that come next are fetched meanwhile. For several threads."""

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
        with self._guard:
            for number in range(min(_AHEAD, len(self._packs))):
                self._asked(number)

    def rest(self) -> None:
        """Keep none in memory until one is asked for."""
        with self._guard:
            self._fetched.clear()

    def packed(self, number: int) -> bytes:
        """Raises `Broken`, also for a store that does not answer, and `Interrupted`."""
        with self._guard:
            wanted = self._asked(number)
            for ahead in range(number + 1, min(number + _AHEAD, len(self._packs))):
                self._asked(ahead)
        try:
            return result_of(wanted, self.deadline)
        except Interrupted:
            raise
        except LinealError as error:
            raise Broken(f"a part of it cannot be read: {error.message.rstrip('.')}") from error

    def frame(self, number: int) -> zstd.Frame:
        """Raises as `packed`."""
        packed = self.packed(number)
        try:
            return zstd.Frame(packed, self._packs[number].unpacked)
        except ValueError as error:
            raise Broken(UNPACKED) from error

    def _asked(self, number: int) -> Future[bytes]:
        """One that is at hand, or is fetched from now on; the one that nobody asked for the longest time leaves."""
        if number not in self._fetched:
            while len(self._fetched) >= _AT_HAND:
                self._fetched.popitem(last=False)
            self._fetched[number] = self._pool.submit(self._fetch, self._packs[number])
        self._fetched.move_to_end(number)
        return self._fetched[number]

    def _fetch(self, pack: Pack) -> bytes:
        packed = read_blob(self._store, pack.digest, pack.size)
        with self._guard:
            self.pulled += len(packed)
        return packed


class ChunkReader:
    """The chunks of packs, each pack read from its beginning on: cheapest in the order in which they stand."""

    def __init__(self, packs: PackReader) -> None:
        self._packs = packs
        self._open: OrderedDict[int, zstd.Frame] = OrderedDict()
        self._last: tuple[Chunk | None, bytes] = None, b""

    def content(self, chunk: Chunk) -> bytes:
        """Raises `Broken` and `Interrupted`."""
        if chunk != self._last[0]:
            self._packs.deadline.left()
            try:
                self._last = chunk, self._frame(chunk.pack).read(chunk.offset, chunk.size)
            except ValueError as error:
                raise Broken(UNPACKED) from error
        return self._last[1]

    def _frame(self, pack: int) -> zstd.Frame:
        if pack not in self._open:
            if len(self._open) == _OPEN:
                self._open.popitem(last=False)
            self._open[pack] = self._packs.frame(pack)
        self._open.move_to_end(pack)
        return self._open[pack]


def result_of(future: Future[_T], deadline: Deadline) -> _T:
    """Raises `Late`, and what the future has raised."""
    try:
        return future.result(deadline.left())
    except TimeoutError:
        raise deadline.late() from None
