"""Cache mounts: directories of this machine that stay, each with the lock of who uses or makes it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lineal.engine import CacheMount
from lineal.engine.runc.tasks import Tasks

_WAIT = 0.1
_DATA = "data"


class Caches:
    """`root` has them all, whatever run they are of: the caller's ids keep projects and strangers apart."""

    def __init__(self, root: Path, tasks: Tasks) -> None:
        self._root = root
        self._tasks = tasks

    @contextmanager
    def opened(self, mount: CacheMount, private: Path) -> Iterator[Path]:
        """The directory to mount. `private` is where one for this command alone is made."""
        if mount.sharing == "private":
            private.mkdir()
            self._fill(mount, private)
            yield private
            return
        name = hashlib.sha256(mount.id.encode("utf-8", "surrogateescape")).hexdigest()
        place = self._root / name
        place.mkdir(mode=0o711, parents=True, exist_ok=True)
        with _locked(place / "making", self._tasks.check):
            if not (place / _DATA).exists():
                self._make(mount, place)
        if mount.sharing != "locked":
            yield place / _DATA
            return
        with _locked(place / "used", self._tasks.check):
            yield place / _DATA

    def _make(self, mount: CacheMount, place: Path) -> None:
        """Whole or not at all: a run that is killed leaves a half one under another name."""
        half = place / "half"
        if half.exists():
            self._tasks.perform("remove", paths=[str(half)])
        half.mkdir()
        self._fill(mount, half)
        half.rename(place / _DATA)

    def _fill(self, mount: CacheMount, directory: Path) -> None:
        tar = mount.tar() if mount.tar else iter((bytes(1024),))
        self._tasks.pump(tar, str(directory), layer=False, root=(mount.mode, mount.uid, mount.gid))


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
