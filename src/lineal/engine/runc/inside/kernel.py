"""System calls that Python 3.11 lacks, and what it does not ask of the C library."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress

NEWNS, NEWUSER, NEWPID = 0x00020000, 0x10000000, 0x20000000
READ_ONLY, NOSUID, NODEV, NOEXEC, RECURSIVE, PRIVATE = 1, 2, 4, 8, 0x4000, 1 << 18
_DETACH = 2
_PR_SET_PDEATHSIG = 1
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 32 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), flags, os.fsencode(options))
    _checked(_libc.mount(*arguments), f"mount {kind or 'something'} at {target}")


def unmount(target: str) -> None:
    _checked(_libc.umount2(os.fsencode(target), _DETACH), f"unmount {target}")


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; `parent` is who that was a moment ago."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def keep_memory() -> None:
    """Have what is freed stay with this process for the next that it needs: who takes megabytes again and again pays
    more for the kernel's clean pages than for what is done with them."""
    with suppress(AttributeError):  # not every C library can do it
        _libc.mallopt(_TRIM_THRESHOLD, _MOST)
        _libc.mallopt(_MMAP_THRESHOLD, _MOST)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
