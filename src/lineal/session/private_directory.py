"""The private directory of a run, among the temporary files of the machine.

A run that is killed leaves it behind, with layers and caches in it; the next run of the same user removes it. A run
locks a file in its directory, and the kernel frees the lock when the process ends, however it does."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lineal.regex import regex

_LOCK = ".lineal-run"
_NAME = regex(r"lineal-([a-z]+-)?[a-z0-9_]{8}")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def private_directory(purpose: str = "") -> Iterator[Path]:
    """A directory that nobody else reads, and that is gone afterwards; `purpose` becomes a part of its name."""
    remove_abandoned()
    path = Path(tempfile.mkdtemp(prefix=f"lineal-{purpose}-" if purpose else "lineal-"))
    with ExitStack() as held:
        # Where nothing can be locked, nobody removes it but this process.
        with suppress(OSError):
            held.callback(os.close, _lock(path))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _lock(directory: Path) -> int:
    """The lock file, which is locked before it has its name."""
    new = directory / f"{_LOCK}.new"
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(file, _identity(directory.stat()))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(directory / _LOCK)
    except BaseException:
        os.close(file)
        raise
    return file


def _identity(directory: os.stat_result) -> bytes:
    """What no copy of a lock file says, such as one in a commit: the directory that it stands in. And a file system
    that other machines share may show no lock of theirs."""
    try:
        boot = _BOOT.read_text().strip()
    except OSError:
        boot = ""
    return f"{boot} {directory.st_dev}:{directory.st_ino}\n".encode()


def remove_abandoned(place: Path | None = None) -> None:
    """Remove what killed runs of this user have left in a directory that anybody may write to, by default the one for
    temporary files. What cannot be removed stays."""
    with suppress(OSError):
        above = os.open(place or tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in os.listdir(above):  # noqa: PTH208 (a descriptor)
                if _NAME.fullmatch(name):
                    with suppress(OSError):
                        _remove(above, name)
        finally:
            os.close(above)


def _remove(above: int, name: str) -> None:
    """Everything goes by descriptors of what was checked: another user may put a link in its place meanwhile."""
    with ExitStack() as opened:
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        opened.callback(os.close, directory)
        status = os.fstat(directory)
        if status.st_uid != os.geteuid():
            return
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        opened.callback(os.close, lock)
        if os.read(lock, 1000) != _identity(status):
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for entry in os.listdir(directory):  # noqa: PTH208
            if entry != _LOCK:
                _remove_entry(directory, entry)
        # Last: what is killed now is found again.
        if os.listdir(directory) == [_LOCK]:  # noqa: PTH208
            os.unlink(_LOCK, dir_fd=directory)
            os.rmdir(name, dir_fd=above)


def _remove_entry(directory: int, entry: str) -> None:
    try:
        os.unlink(entry, dir_fd=directory)
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(entry, ignore_errors=True, dir_fd=directory)
