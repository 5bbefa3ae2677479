"""Paths of an image that is no root yet: its links followed inside it, and what is missing made."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

_LINKS = 255


class NotADirectory(Exception):
    """A part of a path is no directory."""


class Places:
    """An image as several trees show it, the topmost first. Paths that come in are the container's, absolute; those
    that go out are real ones without a leading slash."""

    def __init__(self, trees: Sequence[str]) -> None:
        self._trees = trees

    def stat(self, path: str) -> os.stat_result | None:
        for tree in self._trees:
            try:
                return os.lstat(f"{tree}/{path}")
            except (FileNotFoundError, NotADirectoryError):
                continue
        return None

    def file(self, path: str) -> bytes:
        """What a file holds; nothing for one that there is not."""
        real = self.real(path)
        for tree in self._trees:
            try:
                with open(os.open(f"{tree}/{real}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                    return file.read(8 << 20) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
            except OSError:
                continue
        return b""

    def real(self, path: str) -> str:
        """Where a path leads; what is missing is taken as it is. Raises `NotADirectory`."""
        left, done, links = _parts(path), list[str](), 0
        while left:
            part = left.pop(0)
            if part == "..":
                done[-1:] = []
                continue
            found = self.stat("/".join([*done, part]))
            if found is not None and stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _LINKS:
                    raise NotADirectory
                target = self._link("/".join([*done, part]))
                left = _parts(target) + left
                done = [] if target.startswith("/") else done
                continue
            if found is not None and left and not stat.S_ISDIR(found.st_mode):
                raise NotADirectory
            done.append(part)
        return "/".join(done)

    def _link(self, path: str) -> str:
        for tree in self._trees:
            try:
                return os.readlink(f"{tree}/{path}")
            except OSError:
                continue
        return ""

    def plant(
        self, tree: str, real: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, file: bool = False
    ) -> None:
        """Have a directory (or an empty file) in one of the trees; those above it are there as the image has them,
        or made 0755. Raises `NotADirectory`."""
        parts = real.split("/")
        for depth in range(1, len(parts) + 1):
            path, last = "/".join(parts[:depth]), depth == len(parts)
            own = f"{tree}/{path}"
            found = self.stat(path)
            if found is not None and not stat.S_ISDIR(found.st_mode) and not (last and file):
                raise NotADirectory
            if os.path.lexists(own):
                continue
            if last and file:
                os.close(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                return
            os.mkdir(own, 0o755)
            if found is not None:
                os.chown(own, found.st_uid, found.st_gid)
                os.chmod(own, stat.S_IMODE(found.st_mode))
                os.utime(own, ns=(found.st_mtime_ns, found.st_mtime_ns))
            elif last:
                os.chown(own, uid, gid)
                os.chmod(own, mode)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
