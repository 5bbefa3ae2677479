"""The machine that a result was measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe() -> list[str]:
    """Lines for people."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return [
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"{int(memory[1]) / 1e6 if memory else 0:.0f} GB memory, {name}, Linux {platform.release()}",
        f"Python {platform.python_version()}, git {_said('git', '--version')}, BuildKit {_buildkit()}, "
        f"Docker Engine {_said('dockerd', '--version')}, runc {_said('runc', '--version')}, docker-registry",
    ]


def _said(*command: str) -> str:
    """The version in the first line of what a program says."""
    try:
        said = subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:
        return "none"
    found = re.search(r"\d+\.\S+", said)
    return found[0].strip(",") if found else said.strip()


def _buildkit() -> str:
    pinned = re.search(r"moby/buildkit v(\S+)", Path("tests/buildkit/go.mod").read_text())
    return pinned[1] if pinned else "unknown"


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]
