"""What a cache mount holds, as a tar."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Any, BinaryIO

from lineal.engine.runc.inside.control import Control
from lineal.engine.runc.inside.upper import UpperReader
from lineal.tar.header import FILE

_SAME = b"LINEAL.same"
"""`lineal.engine.SAME`, which would load more than a task needs."""


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

    def _content(self, path: bytes, kind: int, found: os.stat_result) -> None:
        if kind == stat.S_IFREG and found.st_ctime_ns < self._since:
            self._sink(self._header(path, FILE, found, {_SAME: b"1"}))
        else:
            super()._content(path, kind, found)

    def _header(
        self, path: bytes, kind: bytes, found: os.stat_result, records: dict[bytes, bytes] | None = None, *,
        size: int = 0, link: bytes = b"",
    ) -> bytes:  # fmt: skip
        """With the whole time."""
        seconds, rest = divmod(max(found.st_mtime_ns, 0), 10**9)
        exact = {b"mtime": b"%d.%09d" % (seconds, rest)} if rest else {}
        return super()._header(path, kind, found, {**exact, **(records or {})}, size=size, link=link)
