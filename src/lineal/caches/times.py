"""The times of the files that a cache begins with: older than any file that Lineal copies.

make, cargo and their like believe an output that is younger than its source. Files of a `COPY` are all from the
second of January 1980 (`MTIME`), so what an earlier run has made would be believed for ever. What is restored is
therefore from the day before, in the same order: such tools make anew what they make of the sources of the commit, as
they do in a fresh checkout, and keep what they made of other files of the cache. Not earlier, as zip has no times
before 1980."""

from __future__ import annotations

import re

from lineal.caches.snapshot import LATEST, Entry
from lineal.tar.writer import MTIME

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_FIRST = MTIME * _SECOND - _DAY
_HASH = re.compile(rb"[0-9a-f]{64}[^/]*$")
"""The end of a path that names its content by a hash, as in Go's build cache, where an old time has the file removed.
Nothing compares it with a source."""


def restored(entry: Entry) -> int:
    """The time that a file gets, in nanoseconds. Of two, the one that was older is not younger."""
    if _HASH.search(entry.path):
        return entry.mtime
    return _FIRST + entry.mtime * (_DAY - _SECOND) // LATEST


def is_restored(mtime: int, entry: Entry) -> bool:
    """Whether this is still that time. Docker Engine gives whole seconds."""
    return mtime in (given := restored(entry), given // _SECOND * _SECOND)
