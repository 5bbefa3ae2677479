"""Programs of arm64 on this machine: Debian's qemu-user-static, registered with the kernel for as long as a test
needs it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
_NAME = "lineal-test-aarch64"


class NoEmulation(Exception):
    """The machine cannot do it, for this reason."""


@contextmanager
def arm64() -> Iterator[None]:
    """Raises `NoEmulation`. Whatever is mounted or registered here is gone afterwards."""
    if platform.machine() == "aarch64":
        yield
        return
    if os.geteuid() != 0:
        raise NoEmulation("only root may register programs with the kernel (binfmt_misc)")
    if not _RULE.exists():
        raise NoEmulation("the Debian package qemu-user-static is not installed")
    mounted = not (_KERNEL / "register").exists()
    if (
        mounted
        and subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_KERNEL)], check=False).returncode
    ):
        raise NoEmulation("the kernel has no binfmt_misc")
    ours = not (_KERNEL / "qemu-aarch64").exists()
    try:
        if ours:
            rule = next(line for line in _RULE.read_text().splitlines() if line.startswith(":"))
            # As `systemd-binfmt` does it, under a name of the tests' own; the flag F reaches into containers.
            (_KERNEL / "register").write_text(rule.replace(":qemu-aarch64:", f":{_NAME}:", 1))
        yield
    finally:
        if ours and (_KERNEL / _NAME).exists():
            (_KERNEL / _NAME).write_text("-1")
        if mounted:
            subprocess.run(["umount", str(_KERNEL)], check=True)
