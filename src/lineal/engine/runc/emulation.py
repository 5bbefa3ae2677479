"""What this machine executes: its own programs, and those of the emulators that the kernel knows (binfmt_misc)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lineal.engine.machine import Machine
from lineal.oci.platform import own_platform

REGISTERED = Path("/proc/sys/fs/binfmt_misc")
_QEMU = {
    "qemu-x86_64": "amd64", "qemu-aarch64": "arm64", "qemu-arm": "arm", "qemu-i386": "386", "qemu-s390x": "s390x",
    "qemu-ppc64le": "ppc64le", "qemu-riscv64": "riscv64", "qemu-loongarch64": "loong64", "qemu-mips64el": "mips64le",
}  # fmt: skip


def machine() -> Machine:
    return Machine(own_platform(), emulated)


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
