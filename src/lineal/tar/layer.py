"""A layer being made: `LayerWriter` hashes, compresses and keeps what a tar writer gives it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lineal.errors import Unreachable
from lineal.oci.types import Layer

_BUFFER = 1 << 17
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name, no time, "unknown" operating system: the ten bytes say nothing about the machine."""


def _compressor() -> tuple[Any, Callable[[bytes, int], int]]:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(1, zlib.DEFLATED, -15), zlib.crc32
    return isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15), isal_zlib.crc32


class LayerWriter:
    """Takes the bytes of an uncompressed tar and leaves a gzip file in `directory`.

    A context manager: unless `finish` was reached the file is deleted. Raises `Unreachable` when the disk is full."""

    def __init__(self, directory: Path) -> None:
        self._deflate, self._crc32 = _compressor()
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._crc = 0
        self._length = 0
        self._size = 0
        self._pending = bytearray()
        self._finished = False
        try:
            descriptor, name = tempfile.mkstemp(prefix="layer-", suffix=".tar.gz", dir=directory)
        except OSError as error:
            raise _unwritable(directory, error) from error
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._store(GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= _BUFFER:
            self._compress()

    def finish(self) -> Layer:
        self._compress()
        self._store(self._deflate.flush())
        self._store(self._crc.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little"))
        try:
            self._file.close()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._finished = True
        return Layer(
            self._path, f"sha256:{self._packed.hexdigest()}", self._size, f"sha256:{self._plain.hexdigest()}"
        )

    def _compress(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._plain.update(data)
        self._crc = self._crc32(data, self._crc)
        self._length += len(data)
        self._store(self._deflate.compress(data))

    def _store(self, data: bytes) -> None:
        self._packed.update(data)
        self._size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._finished:
            return
        try:
            self._file.close()
        except OSError:
            pass  # a full disk fails the flush as well; what matters is that the file goes
        finally:
            self._path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> Unreachable:
    return Unreachable(
        f"A layer could not be written to {path}: {error.strerror or error}.",
        id="LN-9003",
        remedy="Free some disk space.",
    )
