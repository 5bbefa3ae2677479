"""What this machine executes: its own programs, and those of the emulators that the kernel knows (binfmt_misc)."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

from lineal.engine.machine import Machine

REGISTERED = Path("/proc/sys/fs/binfmt_misc")
_OWN = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6", "i686": "386",
    "loongarch64": "loong64",
}  # fmt: skip
_QEMU = {
    "qemu-x86_64": "amd64", "qemu-aarch64": "arm64", "qemu-arm": "arm", "qemu-i386": "386", "qemu-s390x": "s390x",
    "qemu-ppc64le": "ppc64le", "qemu-riscv64": "riscv64", "qemu-loongarch64": "loong64", "qemu-mips64el": "mips64le",
}  # fmt: skip


def machine() -> Machine:
    own = platform.machine()
    return Machine(f"linux/{_OWN.get(own, own)}", emulated)


def emulated(registered: Path = REGISTERED) -> list[str]:
    """Platforms of the emulators that work in a container: the kernel has opened them beforehand (flag F)."""
    found = []
    for name, architecture in _QEMU.items():
        with suppress(OSError):
            lines = (registered / name).read_text().splitlines()
            flags = next((line.removeprefix("flags:").strip() for line in lines if line.startswith("flags:")), "")
            if lines[:1] == ["enabled"] and "F" in flags:
                found.append(f"linux/{architecture}")
    return found
