"""The platform that an image is built for: its one spelling, and the arguments that say it."""

from __future__ import annotations

from lineal.oci.platform import normal

__all__ = ["arguments", "normal"]


def arguments(platform: str, target: str) -> dict[str, str]:
    """The predefined arguments. BUILD* equals TARGET*: a checksum never depends on the machine that builds."""
    name, architecture, *variant = platform.split("/")
    values = {"PLATFORM": platform, "OS": name, "OSVERSION": "", "ARCH": architecture, "VARIANT": "".join(variant)}
    found = {prefix + key: value for prefix in ("TARGET", "BUILD") for key, value in values.items()}
    return {**found, "TARGETSTAGE": target}
