"""What `platforms:` of an image and `engines:` of the project say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from lineal.config.document import Path
from lineal.config.rule_violation import RuleViolation
from lineal.oci.platform import LINUX, is_linux, normal
from lineal.text import quoted

PLATFORM = "linux/amd64"
_HOW = f"Write it as linux/ARCHITECTURE, such as `{PLATFORM}`."

PlatformName = Annotated[
    str,
    Meta(
        description="A platform: `linux/ARCHITECTURE[/VARIANT]`.",
        pattern=f"^{LINUX.pattern}$",
        extra={"rule": _HOW},
    ),
]
Engines = Annotated[
    dict[PlatformName, str],
    Meta(
        description="Which engine executes the `RUN`s for a platform, as `--engine` has it: `docker`, "
        "`buildkit:ADDRESS`, … (default: one that can)."
    ),
]


def check_platforms(platforms: Sequence[str], path: Path) -> Iterator[RuleViolation]:
    """What is wrong with those of an image."""
    if not platforms:
        yield RuleViolation(path, "An image is built for one platform at least.", f"Write `platforms: [{PLATFORM}]`.")
    seen: set[str] = set()
    for index, platform in enumerate(platforms):
        if not is_linux(platform):
            yield RuleViolation((*path, index), f"{quoted(platform)} is not a platform that Lineal builds.", _HOW)
        elif normal(platform) in seen:
            yield RuleViolation(
                (*path, index), f"The platform {quoted(platform)} is there twice.", "Keep one of them."
            )
        seen.add(normal(platform))


def check_engines(engines: Mapping[str, str], path: Path) -> Iterator[RuleViolation]:
    """What is wrong with the table of engines; which there are is the engines' matter."""
    seen: set[str] = set()
    for platform, engine in engines.items():
        if not engine.strip():
            remedy = "Write `docker` or `buildkit:ADDRESS`, or remove the key."
            yield RuleViolation((*path, platform), "The engine is empty.", remedy)
        if normal(platform) in seen:
            yield RuleViolation(
                (*path, platform), f"The platform {quoted(platform)} is there twice.", "Keep one of them."
            )
        seen.add(normal(platform))
