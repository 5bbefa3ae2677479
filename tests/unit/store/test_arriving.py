"""A blob is fetched once and read by several while it comes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.errors import Interrupted, MissingContent
from lineal.oci.types import OCI_LAYER, Blob, Descriptor
from lineal.store.arriving import Arrival, Arrivals, ArrivingStore
from lineal.store.layout import Layout


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 4), st.integers(0, 60))
def test_whoever_reads_gets_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], readers: int, count: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    arrival, given_ = Arrival(folder), Queue[bytes | None]()
    with ThreadPoolExecutor(readers + 3) as pool:
        pool.submit(arrival.fetch, iter(given_.get, None))
        read = [pool.submit(lambda: b"".join(arrival.read())) for _ in range(readers)]
        head = pool.submit(arrival.head, count)
        tail = pool.submit(lambda: tail_of(arrival, count))
        for chunk in [*chunks, None]:
            given_.put(chunk)
        whole = b"".join(chunks)
        assert [one.result(300) for one in read] == [whole] * readers
        assert (head.result(300), tail.result(300)) == (whole[:count], whole[count:])
    assert b"".join(arrival.read()) == whole, "also afterwards"
    arrival.close()
    assert not list(folder.glob("arriving-*"))


def tail_of(arrival: Arrival, count: int) -> bytes:
    with arrival.open() as file:
        file.seek(count)
        return file.read()


def part(store: Layout, data: bytes) -> Descriptor:
    blob = Blob.of(data)
    store.put_blob(blob)
    return Descriptor(OCI_LAYER, blob.digest, blob.size)


def test_the_store_has_what_is_on_its_way_and_what_it_has_itself(tmp_path: Path) -> None:
    source, home = Layout(tmp_path / "source"), Layout(tmp_path / "home")
    coming, there = part(source, b"coming"), part(home, b"there")
    arrivals = Arrivals(source, [coming, coming], tmp_path)
    store = ArrivingStore(home, arrivals)
    assert b"".join(store.blob(coming.digest)) == b"coming"
    assert b"".join(store.blob(there.digest)) == b"there"
    arrivals.close()
    with pytest.raises(MissingContent):
        list(home.blob(coming.digest))


def test_what_is_wrong_with_the_source_is_told_to_all(tmp_path: Path) -> None:
    gone = Descriptor(OCI_LAYER, Blob.of(b"gone").digest, 4)
    arrivals = Arrivals(Layout(tmp_path / "source"), [gone], tmp_path)
    for ask in (lambda: list(arrivals[gone.digest].read()), lambda: arrivals[gone.digest].head(1),
                lambda: arrivals[gone.digest].open().read(1), arrivals[gone.digest].whole):  # fmt: skip
        with pytest.raises(MissingContent):
            ask()
    arrivals.close()


def test_who_waits_when_it_is_called_off_is_told_so(tmp_path: Path) -> None:
    begun, more = Queue[bool](), Queue[bool]()

    class Slow(Layout):
        def blob(self, digest: str) -> Iterator[bytes]:
            yield b"s"
            begun.put(True)
            more.get()
            yield b"low"

    parts = [Descriptor(OCI_LAYER, Blob.of(text).digest, 4) for text in (b"slow", b"more")]
    arrivals = Arrivals(Slow(tmp_path), parts, tmp_path)
    begun.get(timeout=300)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: list(arrivals[parts[0].digest].read()))
        arrivals.cancel()
        with pytest.raises(Interrupted):
            read.result(300)
    for _ in parts:
        more.put(True)
    arrivals.close()
