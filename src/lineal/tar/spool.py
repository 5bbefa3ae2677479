"""File contents kept on disk, one after another in one file, until it is known in which order they are needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from lineal.errors import Unreachable

_CHUNK = 1 << 18


class Spool:
    """An unnamed file in `directory`: it goes away with this object, whatever happens. Reading is thread-safe."""

    def __init__(self, directory: Path) -> None:
        # The file outlives this function, and closes (and so vanishes) with the object.
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self._end = 0

    def add(self, content: Iterable[bytes]) -> int:
        """Keep the content; its offset. Raises `Unreachable` when the disk is full."""
        offset = self._end
        for chunk in content:
            view = memoryview(chunk)
            while view:
                try:
                    count = self._file.write(view)
                except OSError as error:
                    raise Unreachable(
                        f"The temporary directory cannot be written: {error.strerror or error}.",
                        id="LN-9003",
                        remedy="Free some disk space.",
                    ) from error
                view = view[count:]
                self._end += count
        return offset

    def read(self, offset: int, size: int) -> Iterator[bytes]:
        end = offset + size
        while offset < end:
            data = os.pread(self._file.fileno(), min(_CHUNK, end - offset), offset)
            if not data:
                raise Unreachable("A temporary file was cut short.", id="LN-9003", remedy="Run again.")
            offset += len(data)
            yield data
