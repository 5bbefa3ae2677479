"""What of a layout's files no tag leads to."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lineal.oci.types import Manifest
from lineal.oci.verify import MAX_MANIFEST, is_digest

SPARED = 3600
"""Seconds for which what no tag leads to may be on its way to get one."""
ABANDONED = 24 * 3600
"""Seconds after which nobody writes to a temporary file any more."""
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


def sweep(folder: Path, roots: Iterable[str]) -> int:
    """Delete the files that cannot be reached from the digests in `roots`, young ones excepted; gives their bytes."""
    needed = _reached(folder, roots)
    now = time.time()
    freed = 0
    for file in list(folder.iterdir()):
        with suppress(FileNotFoundError):
            status = file.lstat()
            spared = SPARED if is_digest(digest := f"sha256:{file.name}") else ABANDONED
            if digest not in needed and status.st_mtime < now - spared and stat.S_ISREG(status.st_mode):
                file.unlink()
                freed += status.st_size
    return freed


def _reached(folder: Path, roots: Iterable[str]) -> set[str]:
    """Every digest that a document names anywhere counts, whatever kind of document it is."""
    reached: set[str] = set()
    queue = list(roots)
    while queue:
        digest = queue.pop()
        if digest not in reached:
            reached.add(digest)
            queue += [name.decode() for name in _DIGEST.findall(_document(folder, digest))]
    return reached


def references(folder: Path, digest: str) -> list[str]:
    """What a manifest in `folder` refers to; nothing for other content."""
    try:
        named = Manifest(_document(folder, digest), "").references
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []
    return [name for name in named if is_digest(name)]


def _document(folder: Path, digest: str) -> bytes:
    """A JSON object's text, empty for what is none and for what is not there."""
    try:
        with (folder / digest.removeprefix("sha256:")).open("rb") as file:
            start = file.read(1)
            data = start + file.read(MAX_MANIFEST) if start == b"{" else b""
    except FileNotFoundError:
        return b""
    return data if len(data) <= MAX_MANIFEST else b""
