"""Files of a container that is not running: where their paths lead, and how to put new ones there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from lineal.engine.docker.client import Client
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, END

_GO_SYMLINK = 1 << 27

Content = Callable[[bytes], Iterator[bytes]]
"""One entry as tar bytes (header, content, padding), under the name it is given."""


class ContainerFiles:
    """Looks at and writes into one created container, volumes mounted in it included."""

    def __init__(self, client: Client, container: str) -> None:
        self._client = client
        self._container = container
        self._found: dict[str, str] = {"/": "/"}

    def resolve(self, path: str) -> tuple[str, list[str]]:
        """The deepest part of an absolute path that exists, links followed, and the names below it that do not."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        where = "/"
        for number, part in enumerate(parts):
            step = self._step(f"{where.rstrip('/')}/{part}")
            if step is None:
                return where, parts[number:]
            where = step
        return where, []

    def real(self, path: str) -> str:
        """An absolute path with its existing links followed."""
        where, missing = self.resolve(path)
        return "/".join([where.rstrip("/"), *missing]) or "/"

    def _step(self, path: str) -> str | None:
        if path not in self._found:
            stat = self._client.stat(self._container, path)
            if stat is None:
                return None
            self._found[path] = stat["linkTarget"] if stat["mode"] & _GO_SYMLINK else path
        return self._found[path]

    def directory(self, path: str, mode: int, uid: int, gid: int, *, again: bool = False) -> None:
        """Make a directory and its missing parents (0755, root).

        One that exists is left as it is, unless `again`: then it gets this mode and owner."""
        where, missing = self.resolve(path)
        if not missing and again and where != "/":
            # The engine ignores what a tar says of the directory that it is unpacked into.
            above, _, base = where.rpartition("/")
            where, missing = above or "/", [base]
        if missing:
            now = int(time.time())
            tar = _parents(missing[:-1], now)
            tar += raw.header(_name(missing), DIRECTORY, mode=mode, uid=uid, gid=gid, mtime=now)
            self._client.put(self._container, where, iter([tar, END]), f"make the directory {path}")

    def file(self, path: str, content: Content) -> None:
        """Put a file at a path, making its missing parents; the one that is there is replaced."""
        directory, _, base = path.rpartition("/")
        where, missing = self.resolve(directory)

        def tar() -> Iterator[bytes]:
            yield _parents(missing, int(time.time()))
            yield from content(_name([*missing, base]))
            yield END

        self._client.put(self._container, where, tar(), f"put a mounted file at {path}")


def _name(parts: list[str]) -> bytes:
    return "/".join(parts).encode("utf-8", "surrogateescape")


def _parents(parts: list[str], now: int) -> bytes:
    made = (_name(parts[: depth + 1]) for depth in range(len(parts)))
    return b"".join(raw.header(name, DIRECTORY, mode=0o755, mtime=now) for name in made)
