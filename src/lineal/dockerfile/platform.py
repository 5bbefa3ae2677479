"""The platform that an image is built for: its spellings, and the arguments that say it."""

from __future__ import annotations

import re

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm/v7", "armel": "arm/v6",
    "arm": "arm/v7",
}  # fmt: skip
_WINDOWS = re.compile(
    r"^mcr\.microsoft\.com/(windows|dotnet/framework|windowsservercore|nanoserver)\b"
    r"|^microsoft/(nanoserver|windowsservercore|windows)\b"
    r"|:[^/]*(nanoserver|windowsservercore|ltsc20\d\d)"
)
_PLAIN = {"arm64/v8": "arm64", "amd64/v1": "amd64"}


def normal(platform: str) -> str:
    """`os/architecture[/variant]` in containerd's one spelling; an architecture alone is Linux's."""
    text = platform.lower()
    if "/" not in text:
        text = f"linux/{text}"
    name, _, rest = text.partition("/")
    architecture, slash, variant = rest.partition("/")
    known = _ARCHITECTURES.get(architecture, architecture)
    rest = known if not variant else f"{known.partition('/')[0]}{slash}{variant}"
    return f"{name}/{_PLAIN.get(rest, rest)}"


def is_windows(reference: str) -> bool:
    """Whether a base has Windows in its name, as all of them do."""
    return _WINDOWS.search(reference.lower()) is not None


def arguments(platform: str, target: str) -> dict[str, str]:
    """The predefined arguments. BUILD* equals TARGET*: a checksum never depends on the machine that builds."""
    name, architecture, *variant = platform.split("/")
    values = {"PLATFORM": platform, "OS": name, "OSVERSION": "", "ARCH": architecture, "VARIANT": "".join(variant)}
    found = {prefix + key: value for prefix in ("TARGET", "BUILD") for key, value in values.items()}
    return {**found, "TARGETSTAGE": target}
