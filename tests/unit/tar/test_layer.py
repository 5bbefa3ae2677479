"""A layer's file: its digests, its compression, and what is left of it when something fails."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.context.tree import Node
from lineal.errors import BuildFailed, Unreachable
from lineal.tar.layer import LayerWriter
from lineal.tar.writer import TarWriter


def test_a_layer_has_the_digests_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(300_000) + bytes(700_000)
    with LayerWriter(tmp_path) as writer:
        for at in range(0, len(data), 777):
            writer.write(data[at : at + 777])
        layer = writer.finish()
    packed = layer.path.read_bytes()
    assert gzip.decompress(packed) == data
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert layer.size == len(packed)
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_layer_is_made_without_isal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "isal", None)
    with LayerWriter(tmp_path) as writer:
        writer.write(b"x" * 1000)
        layer = writer.finish()
    assert gzip.decompress(layer.path.read_bytes()) == b"x" * 1000


def test_nothing_is_left_when_making_a_layer_fails(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"12"
        raise BuildFailed("No more.", id="LN-5015")

    with pytest.raises(BuildFailed), LayerWriter(tmp_path) as writer:
        TarWriter(writer.write).file("f", Node("f", "file", 0o644, 3), broken())
    with LayerWriter(tmp_path) as writer:
        writer.write(b"never finished")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No space left on device"), LayerWriter(tmp_path) as writer:
        writer._file.close()
        writer._file = open("/dev/full", "wb")  # noqa: SIM115, PTH123
        for _ in range(40):
            writer.write(os.urandom(1 << 17))
        writer.finish()
    assert list(tmp_path.iterdir()) == []
