from __future__ import annotations

from collections.abc import Iterator

import pytest

from lineal.oci.types import Blob, sha256


def test_a_blob_of_another_store_is_read_from_its_beginning_each_time() -> None:
    chunks = [b"", b"a" * 5, b"b" * 700_000, b"", b"c"]
    whole = b"".join(chunks)
    blob = Blob(sha256(whole), len(whole), lambda: iter(chunks))
    for size in (3, 1 << 20, -1):
        with blob.open() as file:
            assert b"".join(iter(lambda: file.read(size), b"")) == whole  # noqa: B023 (read at once)


def test_a_failure_of_the_other_store_is_one_of_the_reader() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ConnectionError

    with Blob("sha256:" + "0" * 64, 2, broken).open() as file, pytest.raises(ConnectionError):
        file.read()
