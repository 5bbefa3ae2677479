"""The machine that a result was measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe(engine_version: str, buildkit_version: str) -> list[str]:
    """Lines `what: value` for people."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return [
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"{int(memory[1]) / 1e6 if memory else 0:.0f} GB memory",
        f"{name}, Linux {platform.release()}, Python {platform.python_version()}, git {git}",
        f"Docker Engine {engine_version}, BuildKit {buildkit_version}, docker-registry on loopback",
    ]


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]
