"""Garbage collection for a layout: deletes the files that no tag leads to."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lineal.oci.types import Manifest
from lineal.oci.verify import MAX_MANIFEST, is_digest

GRACE = 3600
"""Seconds for which a file without a tag is kept: a run may be about to publish it."""
_TEMPORARY = 24 * 3600
"""Seconds after which no process writes to a temporary file any more."""
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


def sweep(folder: Path, roots: Iterable[str], grace: float = GRACE) -> int:
    """Delete the files that cannot be reached from the digests in `roots`, and count their bytes. Files that were
    used in the last `grace` seconds stay."""
    needed = _reached(folder, roots)
    now = time.time()
    freed = 0
    for file in list(folder.iterdir()):
        with suppress(FileNotFoundError):
            status = file.lstat()
            kept = grace if is_digest(digest := f"sha256:{file.name}") else _TEMPORARY
            if digest not in needed and status.st_mtime < now - kept and stat.S_ISREG(status.st_mode):
                file.unlink()
                freed += status.st_size
    return freed


def _reached(folder: Path, roots: Iterable[str]) -> set[str]:
    """The digests that the roots lead to: every digest anywhere in a document, of whatever kind, counts."""
    reached: set[str] = set()
    queue = list(roots)
    while queue:
        digest = queue.pop()
        if digest not in reached:
            reached.add(digest)
            queue += [name.decode() for name in _DIGEST.findall(_document(folder, digest))]
    return reached


def references(folder: Path, digest: str) -> list[str]:
    """The digests that a manifest in `folder` refers to; none for other content."""
    try:
        named = Manifest(_document(folder, digest), "").references
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []
    return [name for name in named if is_digest(name)]


def _document(folder: Path, digest: str) -> bytes:
    """The text of a JSON object; empty when the file is not there or holds something else."""
    try:
        with (folder / digest.removeprefix("sha256:")).open("rb") as file:
            start = file.read(1)
            data = start + file.read(MAX_MANIFEST) if start == b"{" else b""
    except FileNotFoundError:
        return b""
    return data if len(data) <= MAX_MANIFEST else b""
