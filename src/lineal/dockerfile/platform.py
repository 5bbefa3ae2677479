"""The platform that an image is built for: its one spelling, and the arguments that say it."""

from __future__ import annotations

import re

from lineal.oci.platform import normal

_WINDOWS = re.compile(
    r"^mcr\.microsoft\.com/(windows|dotnet/framework|windowsservercore|nanoserver)\b"
    r"|^microsoft/(nanoserver|windowsservercore|windows)\b"
    r"|:[^/]*(nanoserver|windowsservercore|ltsc20\d\d)"
)
_PROGRAM_OF_WINDOWS = re.compile(r"\s*((?:powershell|cmd)(?:\.exe)?)(?=\s|$)", re.IGNORECASE)

__all__ = ["arguments", "is_windows", "normal", "program_of_windows"]


def is_windows(reference: str) -> bool:
    """Whether a base has Windows in its name, as all of them do."""
    return _WINDOWS.search(reference.lower()) is not None


def program_of_windows(command: str) -> str:
    """The shell of Windows that a command begins with, if it does."""
    found = _PROGRAM_OF_WINDOWS.match(command)
    return found[1] if found else ""


def arguments(platform: str, target: str) -> dict[str, str]:
    """The predefined arguments. BUILD* equals TARGET*: a checksum never depends on the machine that builds."""
    name, architecture, *variant = platform.split("/")
    values = {"PLATFORM": platform, "OS": name, "OSVERSION": "", "ARCH": architecture, "VARIANT": "".join(variant)}
    found = {prefix + key: value for prefix in ("TARGET", "BUILD") for key, value in values.items()}
    return {**found, "TARGETSTAGE": target}
