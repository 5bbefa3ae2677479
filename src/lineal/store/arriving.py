"""Blobs on their way from one store to another: each is fetched once, and read by several while it comes."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from lineal.errors import Interrupted
from lineal.oci import Store
from lineal.oci.image import content
from lineal.oci.types import Descriptor
from lineal.store.read_through import ReadThroughStore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_AT_ONCE = 4
_CHUNK = 1 << 20


class Arrival:
    """One blob, and as much of it as is there."""

    def __init__(self, directory: Path) -> None:
        path = directory / f"arriving-{id(self):x}"
        self._file = path.open("x+b", buffering=0)
        # It has no name from here on: nothing is left of it when this process ends, however it does.
        path.unlink()
        self._there = 0
        self._ended = False
        self._error: BaseException | None = None
        self._news = threading.Condition()

    def fetch(self, chunks: Iterator[bytes]) -> None:
        """Take all of it; what goes wrong is raised to those who read."""
        try:
            for chunk in chunks:
                self._take(chunk)
        except BaseException as error:  # noqa: BLE001 (see above)
            self.end(error)
        else:
            self.end()

    def end(self, error: BaseException | None = None) -> None:
        """Have nothing come any more: all is there, or there is a reason why not."""
        with self._news:
            if not self._ended:
                self._ended, self._error = True, error
                self._news.notify_all()

    def _take(self, chunk: bytes) -> None:
        if self._ended:
            raise Interrupted("The build was interrupted.")
        # A disk that is nearly full takes a part, and says so at the next attempt.
        left = memoryview(chunk)
        while left:
            left = left[self._file.write(left) :]
        with self._news:
            self._there += len(chunk)
            self._news.notify_all()

    def head(self, count: int) -> bytes:
        """Its first bytes, fewer when it has fewer. Raises as `read` does."""
        self._wait(count)
        return os.pread(self._file.fileno(), count, 0)

    def read(self) -> Iterator[bytes]:
        """From its beginning to its end, waiting for what is not there yet. Raises what fetching it raised."""
        place = 0
        while (there := self._wait(place + 1)) > place:
            while place < there:
                chunk = os.pread(self._file.fileno(), min(_CHUNK, there - place), place)
                place += len(chunk)
                yield chunk

    def open(self) -> BinaryIO:
        """As a file, in which one can seek; it is read as by `read`."""
        return cast(BinaryIO, _ArrivalFile(self))

    def read_at(self, place: int, buffer: WriteableBuffer) -> int:
        """Some of what is at this place, at least one byte if that is not the end. Raises as `read` does."""
        there = self._wait(place + 1)
        return os.preadv(self._file.fileno(), [memoryview(buffer)[: max(there - place, 0)]], place)

    def whole(self) -> None:
        """Wait until all of it is there. Raises as `read` does."""
        with self._news:
            self._news.wait_for(lambda: self._ended)
            if self._error is not None:
                raise self._error

    def _wait(self, count: int) -> int:
        """How many bytes are there: as many as `count`, or all."""
        with self._news:
            self._news.wait_for(lambda: self._there >= count or self._ended)
            if self._there < count and self._error is not None:
                raise self._error
            return self._there

    def close(self) -> None:
        self._file.close()


class _ArrivalFile(io.RawIOBase):
    def __init__(self, arrival: Arrival) -> None:
        self._arrival, self._place = arrival, 0

    def readable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        assert whence == os.SEEK_SET
        self._place = place
        return place

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._arrival.read_at(self._place, buffer)
        self._place += count
        return count


class Arrivals:
    """Several blobs of one store, which begin to come at once. They take as much of the disk as they are large, until
    `close`."""

    def __init__(self, source: Store, parts: Iterable[Descriptor], directory: Path) -> None:
        self._found: dict[str, Arrival] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="arrive")
        for part in parts:
            # The empty layer stands in some images several times.
            if part.digest not in self._found:
                made = self._found[part.digest] = Arrival(directory)
                self._pool.submit(made.fetch, content(source, part))

    def __getitem__(self, digest: str) -> Arrival:
        return self._found[digest]

    def get(self, digest: str) -> Arrival | None:
        return self._found.get(digest)

    def cancel(self) -> None:
        """Who still reads what has not come is told that it will not."""
        for one in self._found.values():
            one.end(Interrupted("The build was interrupted."))

    def close(self) -> None:
        """When nobody reads any more."""
        self.cancel()
        self._pool.shutdown(cancel_futures=True)
        for one in self._found.values():
            one.close()


class ArrivingStore(ReadThroughStore):
    """A store, and what is on its way to it."""

    def __init__(self, home: Store, arrivals: Arrivals) -> None:
        super().__init__(home, home)
        self.arriving = arrivals.get

    def at_hand(self, digest: str) -> bool:
        return self.arriving(digest) is not None

    def blob(self, digest: str) -> Iterator[bytes]:
        arriving = self.arriving(digest)
        return self.lower.blob(digest) if arriving is None else arriving.read()
