"""How much memory the files of an image may take here, by its own size: what packs a thousand times is a trap."""

from __future__ import annotations

from lineal.tar.header import Unsupported

NAME = 480
"""Bytes that a name takes here, beside its letters: its entry in several tables, and what it says."""
FLOOR = 24 << 20
"""Bytes for a small base, of which directories and links are kept ..."""
FILES = 96 << 20
"""... and for a small image or archive of which files are kept, too."""
_RATE = 8
_MOST = 2 << 30


class Allowance:
    """What is left for an image or an archive of `packed` bytes: real ones have a kilobyte of content for each name
    that is kept of them, and a floor lets small ones have what they like."""

    def __init__(self, packed: int = _MOST, floor: int = FLOOR) -> None:
        self._granted = self._left = min(floor + _RATE * packed, _MOST)

    def grant(self, packed: int) -> None:
        """For so many bytes more."""
        more = min(_RATE * packed, _MOST - self._granted)
        self._granted, self._left = self._granted + more, self._left + more

    def take(self, size: int) -> None:
        """Before so many bytes are kept. Raises `Unsupported`."""
        self._left -= size
        if self._left < 0:
            raise Unsupported(
                f"its names, links and attributes take more than {self._granted >> 20} MiB of memory, which is the "
                "limit for its size"
            )
