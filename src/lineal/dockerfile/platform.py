"""The platform that an image is built for: its one spelling, and the arguments that say it."""

from __future__ import annotations

import re

from lineal.oci.platform import is_linux, normal
from lineal.regex import regex

_WINDOWS = regex(
    r"^mcr\.microsoft\.com/(windows|dotnet/framework|windowsservercore|nanoserver)\b"
    r"|^microsoft/(nanoserver|windowsservercore|windows)\b"
    r"|:[^/]*(nanoserver|windowsservercore|ltsc20\d\d)"
)
_PROGRAM_OF_WINDOWS = regex(r"\s*((?:powershell|cmd)(?:\.exe)?)(?=\s|$)", re.IGNORECASE)

__all__ = ["arguments", "is_linux", "is_windows", "normal", "program_of_windows"]


def is_windows(reference: str) -> bool:
    """Whether a base has Windows in its name, as all of them do."""
    return _WINDOWS.search(reference.lower()) is not None


def program_of_windows(command: str) -> str:
    """The shell of Windows that a command begins with, if it does."""
    found = _PROGRAM_OF_WINDOWS.match(command)
    return found[1] if found else ""


def arguments(platform: str, build: str, target: str) -> dict[str, str]:
    """The predefined arguments for an image's `platform`. `build` is the platform on which its programs are made."""
    return {**_arguments("TARGET", platform), **_arguments("BUILD", build), "TARGETSTAGE": target}


def _arguments(prefix: str, platform: str) -> dict[str, str]:
    name, architecture, *variant = platform.split("/")
    values = {"PLATFORM": platform, "OS": name, "OSVERSION": "", "ARCH": architecture, "VARIANT": "".join(variant)}
    return {prefix + key: value for key, value in values.items()}
