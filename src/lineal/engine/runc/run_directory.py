"""The engine's place on the disk: a directory for each run, and what runs leave on purpose (cache mounts).

A run holds a lock on its own directory as long as it or one of its tasks lives; whoever gets that lock removes what
it left."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lineal.errors import BadConfiguration

ROOT = "LINEAL_RUNC_ROOT"
_CGROUPS = Path("/sys/fs/cgroup")
_TRIES, _WAIT = 40, 0.05
_RUN, _LOCK = "run-", "lock"


def root_of(environment: Mapping[str, str]) -> Path:
    """Where the engine keeps what it needs: `LINEAL_RUNC_ROOT`, else a directory of this user's caches. Made when it
    is missing. Raises `BadConfiguration` for a place that is not this user's alone."""
    given = environment.get(ROOT, "")
    home = Path(environment.get("HOME") or "~").expanduser()
    root = Path(given or Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "lineal" / "runc")
    if not root.is_absolute():
        raise _unusable(root, "it is no absolute path")
    try:
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = root.stat()
    except OSError as error:
        raise _unusable(root, error.strerror or str(error)) from error
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise _unusable(root, "others may write there")
    return root.resolve()


def _unusable(root: Path, reason: str) -> BadConfiguration:
    return BadConfiguration(
        f"The engine runc cannot use {root}: {reason}.", id="LN-5044",
        remedy=f"Name a directory of this user's own by {ROOT}.",
    )  # fmt: skip


Remove = Callable[[Path, int], object]
"""Has a directory removed, and holds the descriptor of its lock until that is done."""


class RunDirectory:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.path, self.lock = _made(root)
        (self.path / "layers").mkdir()
        (self.path / "tasks").mkdir()
        self._tasks = 0

    def task(self) -> Path:
        """A new directory."""
        self._tasks += 1
        path = self.path / "tasks" / f"{self._tasks}-{secrets.token_hex(4)}"
        path.mkdir(mode=0o711)
        return path

    def close(self, remove: Remove) -> None:
        remove_cgroups(self.path)
        remove(self.path, self.lock)
        os.close(self.lock)

    def sweep(self, remove: Remove) -> None:
        """Remove what runs left that are over."""
        for path in self.root.glob(f"{_RUN}*"):
            if path != self.path:
                with suppress(OSError), _taken(path) as lock:
                    remove_cgroups(path)
                    remove(path, lock)


def _made(root: Path) -> tuple[Path, int]:
    while True:
        path = root / f"{_RUN}{secrets.token_hex(6)}"
        path.mkdir(mode=0o711)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Between the two, somebody may have taken it for one that was left.
        if (path / _LOCK).exists():
            return path, lock
        os.close(lock)


@contextmanager
def _taken(path: Path) -> Iterator[int]:
    """The descriptor of its lock. Raises `OSError` when the run still lives."""
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    finally:
        os.close(lock)


def remove_cgroups(run: Path) -> None:
    """The empty control groups of runtimes that were killed."""
    for note in run.glob("tasks/*/cgroup"):
        _remove_cgroup(note)


def _remove_cgroup(note: Path) -> None:
    with suppress(OSError):
        group = note.read_text().strip("/")
        for place in (_CGROUPS, *_CGROUPS.glob("*/")):
            _remove_empty(place / group)


def _remove_empty(group: Path) -> None:
    """It is busy until the last killed process in it is gone."""
    for _ in range(_TRIES):
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(_WAIT)


def cgroup_for(task: Path, parent: str, id: str) -> str:
    """The control group for a command, noted in its task's directory; empty where this user may make none."""
    controlled = [_CGROUPS] if (_CGROUPS / "cgroup.controllers").exists() else [_CGROUPS / "devices"]
    if os.geteuid() or not all(os.access(place, os.W_OK) for place in controlled):
        return ""
    group = f"/{parent.strip('/') or 'lineal'}/{id}"
    (task / "cgroup").write_text(group)
    return group
