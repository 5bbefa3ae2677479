"""Waits until files of a working tree change: those that git tracks, and new ones that it would."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping

from lineal.git.command import run_git
from lineal.git.repository import Repository

_LOOK = 0.2
"""Seconds between two looks."""
_QUIET = 0.05
"""Seconds without a change after which an editor has written all that it was about to write."""
Seen = Mapping[bytes, tuple[int, ...]]
"""Path -> what tells one content from another without reading it."""


class Watch:
    """Asks the disk, as it is on every machine and in every container: a look at 10,000 files takes some 30 ms."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._root = os.fsencode(repository.root)
        self._files: list[bytes] = []
        self._folders: dict[bytes, tuple[int, ...]] | None = None

    def look(self) -> Seen:
        """The files as they are now. What git has checked out is one of them, as `.git/HEAD`."""
        if self._folders is None or self._folders != self._stats(self._folders):
            self._list()
        return self._stats(self._files)

    def wait(self, seen: Seen) -> list[str]:
        """Until something is different from `seen`, and still for a moment; the paths that are."""
        while (now := self.look()) == seen:
            time.sleep(_LOOK)
        while True:
            time.sleep(_QUIET)
            if (later := self.look()) == now:
                break
            now = later
        return sorted(os.fsdecode(path) for path in {*seen, *now} if seen.get(path) != now.get(path))

    def _list(self) -> None:
        out = run_git(
            ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], self._repository.root,
            self._repository.environ,
        )  # fmt: skip
        found = set(filter(None, out.split(b"\0")))
        # Before the files: what comes between is seen as a change of a folder.
        self._folders = self._stats({folder for path in found for folder in _above(path)} | {b""})
        git = os.path.relpath(os.fsencode(self._repository.git_dir), self._root)
        self._files = [*found, git + b"/HEAD", git + b"/logs/HEAD"]

    def _stats(self, paths: list[bytes] | set[bytes] | dict[bytes, tuple[int, ...]]) -> dict[bytes, tuple[int, ...]]:
        found: dict[bytes, tuple[int, ...]] = {}
        for path in paths:
            try:
                status = os.lstat(self._root + b"/" + path)
            except OSError:
                continue
            kind, mode = stat.S_IFMT(status.st_mode), status.st_mode & 0o111
            found[path] = (kind, mode, status.st_size, status.st_mtime_ns, status.st_ino)
        return found


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path
