"""What a cache mount holds, as a tar."""

from __future__ import annotations

import marshal
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from lineal.engine import SAME
from lineal.engine.runc.inside.control import Control
from lineal.engine.runc.inside.upper import UpperReader
from lineal.tar import raw
from lineal.tar.header import END, padding

_TOGETHER = 4096
"""What is named by one entry at most."""


def read(orders: dict[str, Any], control: Control) -> None:
    """Answers once `tar`, a descriptor, has got the tar of `directory`, or nobody reads it any more."""
    known: dict[bytes, int] = {}
    if orders["since"]:
        with open(orders["inodes"], "rb") as noted:
            known = marshal.load(noted)  # noqa: S302 (who wrote it is this program)
    with suppress(BrokenPipeError), open(orders["tar"], "wb", buffering=1 << 18) as sink:
        CacheReader(orders["directory"], orders["since"], known, sink, rootless=orders["rootless"]).write()
    control.send(done=True)


class CacheReader(UpperReader):
    """What was not changed since the time `since` (ns) is named only: the time of a file's last change is the
    kernel's, and no command can set it. It does not change with that of a directory that was moved: `known` are the
    inodes that directories had at that time."""

    def __init__(
        self, directory: str, since: int, known: Mapping[bytes, int], sink: BinaryIO, *, rootless: bool
    ) -> None:
        super().__init__(directory, os.devnull, sink, rootless=rootless)
        self._since = since
        self._known = known
        self._there = True
        """Whether the directory that is read is where it was."""
        self._same: list[bytes] = []

    def write(self) -> None:
        self._directory(b"")
        self._name_same()
        self._sink(END)

    def _directory(self, path: bytes) -> None:
        """Most of what is in it is as it was and where it was: of that it is all that is looked at."""
        own, around = self._at(path), self._there
        self._there = not path or self._known.get(path) == os.lstat(own).st_ino
        with os.scandir(own) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            self._inside(path + b"/" + entry.name if path else entry.name, entry.stat(follow_symlinks=False))
        self._there = around

    def _inside(self, path: bytes, found: os.stat_result) -> None:
        if self._is_same(found) and stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            self._add_same(path)
        elif self._is_same(found) and self._known.get(path) == found.st_ino:
            self._add_same(path)
            self._directory(path)
        else:
            self._entry(path)

    def _content(self, path: bytes, kind: int, found: os.stat_result) -> None:
        if kind == stat.S_IFREG and self._is_same(found):
            self._add_same(path)
        else:
            super()._content(path, kind, found)

    def _is_same(self, found: os.stat_result) -> bool:
        return self._there and found.st_ctime_ns < self._since

    def _add_same(self, path: bytes) -> None:
        self._same.append(path)
        if len(self._same) == _TOGETHER:
            self._name_same()

    def _name_same(self) -> None:
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
