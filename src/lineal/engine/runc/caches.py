"""Cache mounts: directories of this machine, each with the lock of who uses or makes it. They stay, but for those
that the run keeps by itself: these are below its own directory, and are read after each command that ended well."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lineal.engine import CacheMount
from lineal.engine.runc.tasks import Tasks

_WAIT = 0.1
_DATA, _FILLED, _INODES = "data", "filled", "inodes"


@dataclass(frozen=True, slots=True, eq=False)
class OpenCache:
    """A cache that a command uses: the place that has its directory, and since when that is filled."""

    mount: CacheMount
    place: Path

    @property
    def directory(self) -> Path:
        return self.place / _DATA

    @property
    def kept(self) -> bool:
        """Whether somebody wants what the command left in it."""
        return self.mount.kept is not None and self.mount.kept.keep is not None


class Caches:
    """`root` has those that stay, whatever run they are of: the caller's ids keep projects and strangers apart. `own`
    has those of this run."""

    def __init__(self, root: Path, own: Path, tasks: Tasks) -> None:
        self._root, self._own = root, own
        self._tasks = tasks
        self._guard = threading.Lock()
        self._users: dict[Path, set[OpenCache]] = {}

    @contextmanager
    def opened(self, mount: CacheMount, private: Path) -> Iterator[OpenCache]:
        """The directory to mount. `private` is where one for this command alone is made."""
        if mount.sharing == "private":
            private.mkdir()
            self._make(mount, private)
            yield OpenCache(mount, private)
            return
        name = hashlib.sha256(mount.id.encode("utf-8", "surrogateescape")).hexdigest()
        place = (self._own if mount.kept else self._root) / name
        place.mkdir(mode=0o711, parents=True, exist_ok=True)
        with _locked(place / "making", self._tasks.check):
            if not (place / _DATA).exists():
                self._make(mount, place)
        opened = OpenCache(mount, place)
        if mount.sharing != "locked":
            with self._used(opened):
                yield opened
            return
        with _locked(place / "used", self._tasks.check), self._used(opened):
            yield opened

    @contextmanager
    def _used(self, cache: OpenCache) -> Iterator[None]:
        with self._guard:
            self._users.setdefault(cache.place, set()).add(cache)
        try:
            yield
        finally:
            with self._guard:
                self._users[cache.place].discard(cache)

    def save(self, cache: OpenCache) -> None:
        """Give away what is in a cache that the run keeps, unless another command is still using it, which will."""
        kept = cache.mount.kept
        if kept is None or kept.keep is None:
            return
        # Who wants to use it waits meanwhile.
        with _locked(cache.place / "making", self._tasks.check):
            with self._guard:
                users = self._users.setdefault(cache.place, set())
                users.discard(cache)
            if not users:
                since = (cache.place / _FILLED).stat().st_ctime_ns if kept.known else 0
                self._tasks.read(cache.directory, since, cache.place / _INODES, kept.keep)

    def _make(self, mount: CacheMount, place: Path) -> None:
        """Whole or not at all: a run that is killed leaves a half one under another name."""
        half = place / "half"
        if half.exists():
            self._tasks.perform("remove", paths=[str(half)])
        half.mkdir()
        self._fill(mount, half, place / _INODES)
        (place / _FILLED).touch()
        half.rename(place / _DATA)

    def _fill(self, mount: CacheMount, directory: Path, inodes: Path) -> None:
        root = (mount.mode, mount.uid, mount.gid)
        if mount.kept is not None and mount.kept.restore is not None:
            mount.kept.restore(lambda stream: self._tasks.restore(stream, directory, root, inodes))
            return
        tar = mount.tar() if mount.tar else iter((bytes(1024),))
        self._tasks.pump(tar, str(directory), root=root)


@contextmanager
def _locked(path: Path, check: Callable[[], None]) -> Iterator[None]:
    """Alone on this machine; a lock of a killed run is free."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(_WAIT)
        yield
    finally:
        os.close(file)
