"""What a cache mount holds, as a tar."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Any, BinaryIO

from lineal.engine import SAME
from lineal.engine.runc.inside.control import Control
from lineal.engine.runc.inside.upper import UpperReader
from lineal.tar import raw
from lineal.tar.header import END, padding

_TOGETHER = 4096
"""Files that are named by one entry."""


def read(orders: dict[str, Any], control: Control) -> None:
    """Answers once `tar`, a descriptor, has got the tar of `directory`, or nobody reads it any more."""
    with suppress(BrokenPipeError), open(orders["tar"], "wb", buffering=1 << 18) as sink:
        CacheReader(orders["directory"], orders["since"], sink, rootless=orders["rootless"]).write()
    control.send(done=True)


class CacheReader(UpperReader):
    """Files that were not changed since the time `since` (ns) are named only: the time of a file's last change is the
    kernel's, and no command can set it."""

    def __init__(self, directory: str, since: int, sink: BinaryIO, *, rootless: bool) -> None:
        super().__init__(directory, os.devnull, sink, rootless=rootless)
        self._since = since
        self._same: list[bytes] = []

    def write(self) -> None:
        self._directory(b"")
        self._name_same()
        self._sink(END)

    def _content(self, path: bytes, kind: int, found: os.stat_result) -> None:
        if kind != stat.S_IFREG or found.st_ctime_ns >= self._since:
            super()._content(path, kind, found)
            return
        self._same.append(path)
        if len(self._same) == _TOGETHER:
            self._name_same()

    def _name_same(self) -> None:
        """In one entry: most files of a cache are as they were."""
        names = b"\0".join(self._same)
        self._same.clear()
        if names:
            self._sink(raw.header(b"", size=len(names), more={SAME: b"1"}) + names + padding(len(names)))

    def _header(
        self, path: bytes, kind: bytes, found: os.stat_result, records: dict[bytes, bytes] | None = None, *,
        size: int = 0, link: bytes = b"",
    ) -> bytes:  # fmt: skip
        """With the whole time."""
        seconds, rest = divmod(max(found.st_mtime_ns, 0), 10**9)
        exact = {b"mtime": b"%d.%09d" % (seconds, rest)} if rest else {}
        return super()._header(path, kind, found, {**exact, **(records or {})}, size=size, link=link)
